"""Of a ring."""
