"""Product blocks of the project."""
