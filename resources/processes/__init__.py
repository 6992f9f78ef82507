"""The rows of the engine: processes, ledger, waits, locks, schedules, and what changes them."""
