"""The speech networks by name."""

from __future__ import annotations

from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.modules import PRESETS, SpeechSRU
from mohaq.tools.speech.gated import GATED, SpeechGated

SpeechNetwork = SpeechSRU | SpeechGated


def build_network(name: str, *, dropout: float = 0.0) -> SpeechNetwork:
    """An untrained network.

    Args:
        name: a size of the SRU network (`default`, `paper`), or `lstm` or `gru`.
        dropout: share of features dropped between layers in training.

    Raises:
        MohaqError: another name.
    """
    check_name(name)
    if name in GATED:
        return SpeechGated(name, dropout=dropout)
    return SpeechSRU(name, dropout=dropout)


def check_name(name: str) -> None:
    """Refuse a name that `build_network` does not know.

    Raises:
        MohaqError: such a name.
    """
    if name not in PRESETS and name not in GATED:
        hint = did_you_mean(name, (*PRESETS, *GATED))
        raise MohaqError(f"unknown model '{name}'", hint=hint)
