"""The language that workflows are written in: steps, state, branches, forms."""
