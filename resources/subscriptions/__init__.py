"""Questions about subscriptions that need no model: lists, searches, relations, rules, notes."""
