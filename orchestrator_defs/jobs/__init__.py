"""Workflows as Dagster jobs, and the schedules of the built-in ones."""
