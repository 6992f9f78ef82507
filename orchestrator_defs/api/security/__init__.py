"""Who may ask for what: login, rights, limits, and what a refusal looks like."""
