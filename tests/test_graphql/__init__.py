"""GraphQL as clients use it."""
