"""Verbs: what happens inside a run. Steps, and the questions that a run may ask."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
