"""The steps of each product."""
