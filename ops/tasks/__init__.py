"""The steps of the built-in tasks."""
