"""Live updates: changes reported by the database at commit, and from one server to another."""
