"""Of a node."""
