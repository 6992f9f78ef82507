"""Pages of lists for clients that say what they want to read of each entry."""
