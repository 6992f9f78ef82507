"""Every call of the web client: what it sends, and what it reads of the answers."""
