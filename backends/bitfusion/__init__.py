"""Bit Fusion: a bit-level dynamically composable accelerator (ISCA 2018), as a backend."""

from mohaq.backends.bitfusion.backend import BitfusionBackend

BACKEND = BitfusionBackend()

__all__ = ["BACKEND", "BitfusionBackend"]
