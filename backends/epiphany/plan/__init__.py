"""Tiles, memory and counts of stages: from shapes and widths alone, never from data."""
