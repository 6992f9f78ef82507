"""Product types of the project."""
