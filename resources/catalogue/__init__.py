"""The catalogue: products and workflows of the code, compared with the database and applied to it."""
