"""Searches over every kind of entry: what they find, export and count, and those that people keep."""
