"""Of a uplink."""
