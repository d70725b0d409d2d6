"""Float32 semantics of `nn` in NumPy; equals PyTorch and onnxruntime within 1e-5.

A tracer sees every layer's input and inner values; calibration collects ranges through it.
"""

from mohaq.compiler.interpreters.float_nn.base import Tracer
from mohaq.compiler.interpreters.float_nn.functions import evaluate, sigmoid
from mohaq.compiler.interpreters.float_nn.run import run_float

__all__ = ["Tracer", "evaluate", "run_float", "sigmoid"]
