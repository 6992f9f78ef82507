"""A project of orchestrator-core whose own code makes the database that the tests import."""
