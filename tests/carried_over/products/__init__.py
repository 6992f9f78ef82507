"""The products."""
