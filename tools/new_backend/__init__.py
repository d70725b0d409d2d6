"""`mohaq new-backend`: a working package to start a backend from."""

from mohaq.tools.new_backend.write import write_package

__all__ = ["write_package"]
