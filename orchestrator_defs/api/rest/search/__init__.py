"""Searches over REST, as the web client asks them; and those that people keep."""
