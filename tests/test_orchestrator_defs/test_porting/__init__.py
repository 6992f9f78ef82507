"""Carrying a project of orchestrator-core over."""
