"""Health checks: whether everything works, what needs attention, and what a deploy would break."""
