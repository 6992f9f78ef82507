"""Security: login, rights, limits, and the form of refusals."""
