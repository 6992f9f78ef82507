"""How a step runs inside a Dagster op: claim, function, commit."""
