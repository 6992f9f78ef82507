"""What a declared class says of its fields, its place in the lifecycle and its family."""
