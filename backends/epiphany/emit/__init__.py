"""Writes the C project: generated files beside the runtime's and the kernels'."""
