"""Passes, one a file, registered by name."""
