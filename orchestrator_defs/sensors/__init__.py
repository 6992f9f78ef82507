"""Sensors: what Dagster's daemon looks at from time to time."""
