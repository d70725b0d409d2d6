"""Epiphany: C projects for meshes of small cores with local memories."""
