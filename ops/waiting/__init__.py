"""Steps that wait and hold nothing: for input, a callback, a moment, children."""
