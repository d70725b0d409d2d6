"""Epiphany: C projects for meshes of small cores with local memories."""

from mohaq.backends.epiphany.backend import EpiphanyBackend

BACKEND = EpiphanyBackend()

__all__ = ["BACKEND", "EpiphanyBackend"]
