"""The operations on processes, shared by the API, the CLI and Dagster's page."""
