"""Launchers: how a run reaches a process that executes it."""
