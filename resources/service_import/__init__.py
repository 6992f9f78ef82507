"""Import of services that exist already: rows of a file become subscriptions, and nothing outside changes."""
