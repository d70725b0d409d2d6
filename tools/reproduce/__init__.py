"""The experiments of the MOHAQ paper (arXiv 2108.01192), with its spaces, limits and counts."""
