"""mohaq: a mixed-precision compiler for recurrent networks.

`load`, `compile` and `search` are the whole workflow; see the README.
Attributes are resolved on first use so that `mohaq --help` does not import torch.
"""

from __future__ import annotations

__version__ = "0.1.0.dev0"
