"""Of a site."""
