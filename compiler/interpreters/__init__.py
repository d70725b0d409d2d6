"""Executable semantics: `nn` in float, `qnn` in integers (the reference)."""
