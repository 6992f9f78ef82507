"""Live updates: from changes in the database to messages on WebSockets."""
