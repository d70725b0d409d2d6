"""Retraining with quantization in the loop."""
