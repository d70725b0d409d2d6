"""PyTorch modules that the compiler understands as one operation each."""

from mohaq.compiler.modules.ligru import LiGRU
from mohaq.compiler.modules.qrnn import QRNN
from mohaq.compiler.modules.sru import PRESETS, SRU, SpeechOptions, SpeechSRU, SRUOptions

__all__ = ["PRESETS", "QRNN", "SRU", "LiGRU", "SRUOptions", "SpeechOptions", "SpeechSRU"]
