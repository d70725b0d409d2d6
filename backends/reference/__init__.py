"""The integer reference as a target: the smallest backend, and the contract's first test."""

from mohaq.backends.reference.backend import ReferenceBackend

BACKEND = ReferenceBackend()

__all__ = ["BACKEND", "ReferenceBackend"]
