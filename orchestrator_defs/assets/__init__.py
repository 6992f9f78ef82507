"""The products of a code location as Dagster's assets: the graph, the checks, and counts over time."""
