"""Dagster's runs: how they are stored, launched and executed."""
