"""Verbs: what happens inside a run. Steps, and the questions that a run may ask."""
