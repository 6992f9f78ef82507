"""`orchestrator import`: what exists already, taken over."""
