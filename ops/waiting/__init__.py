"""Steps that wait without holding anything: for input, a callback, a moment, children."""
