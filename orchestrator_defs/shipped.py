"""The shipped definitions for the package's face, which shows a fault in a product as such."""

try:
    from orchestrator_defs.definitions import defs as defs
except AttributeError as error:
    # For an AttributeError Python and Dagster would conclude that this package has no `defs`.
    raise ImportError(f"The definitions cannot be loaded: {error}") from error
