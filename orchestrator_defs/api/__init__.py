"""The doors over HTTP: REST, live updates and login, beside Dagster's webserver."""
