"""Clients of other systems."""
