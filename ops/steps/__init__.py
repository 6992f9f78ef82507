"""The language of workflows: steps, state, branches, forms."""
