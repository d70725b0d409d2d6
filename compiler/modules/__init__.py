"""PyTorch modules that the compiler understands as one operation each."""

from mohaq.compiler.modules.sru import PRESETS, SRU, SpeechOptions, SpeechSRU, SRUOptions

__all__ = ["PRESETS", "SRU", "SRUOptions", "SpeechOptions", "SpeechSRU"]
