"""Domain models: subscriptions and product blocks as an organisation declares them."""
