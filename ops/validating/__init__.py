"""Validation: what a subscription should be, against what other systems have."""
