"""Entry points for Dagster and people: jobs, schedules, sensors, the API and the CLI."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
