"""Of a port."""
