"""Backends: one folder each, behind the contract of `mohaq.backends.base`."""
