"""Importing a database of orchestrator-core, against one that its own code has made."""
