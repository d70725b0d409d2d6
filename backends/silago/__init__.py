"""The SiLago target: ISA, dialects, compiler, simulators and target files."""

from mohaq.backends.silago.backend import SilagoBackend

BACKEND = SilagoBackend()

__all__ = ["BACKEND", "SilagoBackend"]
