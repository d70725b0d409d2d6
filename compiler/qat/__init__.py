"""Retraining with quantization in the loop.

What needs torch is resolved on first use: options alone do not import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mohaq.compiler.qat.options import RetrainOptions

if TYPE_CHECKING:
    from mohaq.compiler.qat.session import Retrained, retrain

__all__ = ["RetrainOptions", "Retrained", "retrain"]


def __getattr__(name: str) -> Any:
    if name not in ("Retrained", "retrain"):
        raise AttributeError(f"module 'mohaq.compiler.qat' has no attribute '{name}'")
    from mohaq.compiler.qat import session

    return getattr(session, name)
