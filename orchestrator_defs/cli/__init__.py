"""The command `orchestrator`: one module per group of commands."""
