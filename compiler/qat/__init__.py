"""Retraining with quantization in the loop."""

from mohaq.compiler.qat.options import RetrainOptions
from mohaq.compiler.qat.session import Retrained, retrain

__all__ = ["RetrainOptions", "Retrained", "retrain"]
