"""Tests of the server: over real HTTP, on a database of each test's own."""
