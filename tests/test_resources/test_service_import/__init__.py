"""Importing services that exist already."""
