"""PostgreSQL: sessions and transactions, the tables, and the server that comes with the project."""
