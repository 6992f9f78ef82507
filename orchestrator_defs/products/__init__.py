"""The forms and workflows of each product."""
