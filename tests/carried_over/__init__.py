"""A project in the style of orchestrator-core's public examples; a test changes its imports, and runs it."""
