"""Figures of the whole installation, which cost the same whatever its size."""
