"""Converts between models and rows: how a subscription is written, read, searched and kept as history."""
