"""Writes projects and products for those who start their own: templates, with the product as data."""
