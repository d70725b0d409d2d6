"""Executes an emitted folder; knows nothing of lowering, schedule or estimate."""
