"""The models of each product."""
