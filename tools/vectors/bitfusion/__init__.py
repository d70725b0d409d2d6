"""Rows measured with the published Bit Fusion simulator."""
