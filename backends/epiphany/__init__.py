"""Epiphany: C projects with assembly kernels for many-core chips of 32 KB cores."""
