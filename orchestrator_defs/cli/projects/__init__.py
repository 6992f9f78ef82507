"""Commands for the project of an organisation: what they read and write is its code."""
