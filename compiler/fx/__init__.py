"""`program.to_fx()`: runnable torch.fx graphs of `nn` programs."""

from mohaq.compiler.fx.graph import to_fx

__all__ = ["to_fx"]
