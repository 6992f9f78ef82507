"""The declarations of model classes: their fields, their place in the lifecycle and their family."""
