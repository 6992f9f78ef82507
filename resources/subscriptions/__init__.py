"""Queries on subscriptions that need no model: lists, searches, relations, rules, metadata."""
