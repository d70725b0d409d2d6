"""Reproducible measurements: ratios and errors measured side by side in one run."""
