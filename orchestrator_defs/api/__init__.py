"""The HTTP server: REST, live updates and login, beside Dagster's webserver."""
