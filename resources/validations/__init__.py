"""What validations found, and when each subscription is validated next."""
