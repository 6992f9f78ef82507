"""Reads a database of orchestrator-core, and writes what is in it into ours."""
