"""Nouns: what exists outside a run. The database, the domain models, the external systems, Dagster's own storage."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
