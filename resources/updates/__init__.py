"""News of changes: from the database at commit, and from one server to another."""
