"""Resident workers, and the supervisor that starts and replaces them."""
