"""Analyses that passes, backends and the search share."""
