"""Carries a project of orchestrator-core over: its imports, its idioms, and the rooms in which its code lies."""
