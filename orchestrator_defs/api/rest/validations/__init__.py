"""What validations found, and the answers to drift, over REST."""
