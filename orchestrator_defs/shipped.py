"""The shipped definitions as the face gives them: a fault in a product is shown, and not taken for a missing name."""

try:
    from orchestrator_defs.definitions import defs as defs
except AttributeError as error:
    # Python and Dagster take an AttributeError for the answer that this package has no `defs`.
    raise ImportError(f"The definitions cannot be loaded: {error}") from error
