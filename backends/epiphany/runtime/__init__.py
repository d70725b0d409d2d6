"""The parts of an emitted project that are the same for every network: runtime, host, stand-in."""

from mohaq.backends.epiphany.runtime.files import readme, static_files

__all__ = ["readme", "static_files"]
