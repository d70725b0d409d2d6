"""Executes the words: a plain per-cycle engine and a compiled one with identical results."""
