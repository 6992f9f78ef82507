"""Sensors, which Dagster's daemon runs from time to time."""
