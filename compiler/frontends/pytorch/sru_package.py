"""Modules of the PyPI package `sru` (version 2), exchanged for equal ones that export whole.

The package walks over time in compiled code that torch.export cannot see into. A cell becomes one
call of `mohaq::sru`; the package's weights are [I, D * H * k] with the k matrices innermost, its
vectors [2 * D * H].
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.frontends.refuse import refuse
from mohaq.compiler.modules.sru_op import sru


@contextmanager
def exchanged(module: nn.Module) -> Iterator[nn.Module]:
    """The module with the package's layers exchanged, for the length of a `with` block.

    Raises:
        MohaqError: a layer has an option that `nn.sru` does not have.
    """
    if _kind(module):
        yield _equal(module, "")
        return
    kept: list[tuple[nn.Module, str, nn.Module]] = []
    try:
        for path, parent in list(module.named_modules()):
            for name, child in list(parent.named_children()):
                if _kind(child) and not _kind(parent):
                    kept.append((parent, name, child))
                    setattr(parent, name, _equal(child, f"{path}.{name}".lstrip(".")))
        yield module
    finally:
        for parent, name, child in kept:
            setattr(parent, name, child)


def _kind(module: nn.Module) -> str:
    """`SRU` or `SRUCell` of the package, else nothing."""
    for one in type(module).__mro__:
        if one.__module__.partition(".")[0] == "sru" and one.__name__ in {"SRU", "SRUCell"}:
            return one.__name__
    return ""


def _equal(module: Any, path: str) -> nn.Module:
    try:
        made = _Stack(module, path) if _kind(module) == "SRU" else _Cell(module, path)
    except (AttributeError, RuntimeError) as error:
        raise _refused(path, f"it is not as in version 2: {error}", "sru==2.6.0") from None
    return made.eval()


def _refused(path: str, why: str, instead: str) -> MohaqError:
    return refuse("sru.SRU", name=path or "SRU", why=why, instead=instead)


class _Cell(nn.Module):
    """One `sru.SRUCell`."""

    def __init__(self, cell: Any, path: str) -> None:
        super().__init__()
        if cell.custom_m is not None:
            raise _refused(path, "it has a module of its own in place of its weight", "no custom_m")
        if cell.activation_type not in {0, 1}:
            raise _refused(path, "its activation is neither none nor tanh", "use_tanh or none")
        self.path = path
        count, hidden = 2 if cell.bidirectional else 1, cell.hidden_size
        self.direction = "bidirectional" if cell.bidirectional else "forward"
        self.activation = "tanh" if cell.activation_type else "identity"
        self.count, self.hidden = count, hidden
        matrices = cell.num_matrices
        self.skip = "none"
        if cell.has_skip_term:
            self.skip = "projected" if matrices == 4 else "identity"
        scaled = cell.rescale and self.skip == "identity"
        self.skip_scale = float(cell.scale_x) if scaled else 1.0
        weight = cell.weight.detach().view(-1, count, hidden, matrices).permute(1, 3, 2, 0)
        self.project: nn.Linear | None = None
        if cell.weight_proj is not None:
            self.project = _linear(cell.weight_proj.detach().t())
        before = cell.layer_norm is not None and not cell.normalize_after
        self.layer_norm = cell.layer_norm
        self.normalizes_before = before
        # The skip of the package is the input itself, not what the product reads.
        self.joined = self.skip == "identity" and (before or self.project is not None)
        if self.joined:
            weight = self._with_skip(weight, cell.input_size)
            self.skip, self.skip_scale = "projected", 1.0
        self.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
        for name, held in (("vector", cell.weight_c), ("bias", cell.bias)):
            rows = held.detach().view(2, count, hidden).transpose(0, 1).contiguous()
            setattr(self, name, nn.Parameter(rows, requires_grad=False))

    def _with_skip(self, weight: Tensor, inputs: int) -> Tensor:
        """A fourth matrix that picks the skip from the second part of a joined input."""
        width = weight.shape[3]
        made = weight.new_zeros(self.count, 4, self.hidden, width + inputs)
        made[:, :3, :, :width] = weight
        for d in range(self.count):
            for h in range(self.hidden):
                made[d, 3, h, width + d * self.hidden + h] = self.skip_scale
        return made

    def forward(
        self, x: Tensor, c0: Tensor | None = None, mask_pad: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if mask_pad is not None:
            raise _refused(self.path, "it is called with a mask", "one length for all sequences")
        single = x.dim() == 2
        x = x.unsqueeze(0) if single else x
        read = self.layer_norm(x) if self.normalizes_before else x
        if self.project is not None:
            read = self.project(read)
        if self.joined:
            read = torch.cat([read, x], dim=-1)
        if c0 is None:
            state = x.new_zeros(self.count, x.shape[1], self.hidden)
        else:
            state = torch.stack(c0.chunk(self.count, -1))
        y, last = sru(
            read, state, self.weight, self.vector, self.bias,
            self.direction, self.skip, self.skip_scale, self.activation,
        )  # fmt: skip
        if self.layer_norm is not None and not self.normalizes_before:
            y = self.layer_norm(y)
        return (y.squeeze(0) if single else y), torch.cat([last[d] for d in range(self.count)], -1)


class _Stack(nn.Module):
    """One `sru.SRU`: cells one after the other."""

    def __init__(self, stack: Any, path: str) -> None:
        super().__init__()
        self.path = path
        self.rnn_lst = nn.ModuleList(
            _Cell(cell, f"{path}.rnn_lst.{n}".lstrip(".")) for n, cell in enumerate(stack.rnn_lst)
        )
        self.input_to_hidden = stack.input_to_hidden
        self.by_direction = stack.nn_rnn_compatible_return

    def forward(
        self, x: Any, c0: Tensor | None = None, mask_pad: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if not isinstance(x, Tensor) or x.dim() != 3:
            raise _refused(self.path, "its input is packed or not [T, B, I]", "a padded tensor")
        if self.input_to_hidden is not None:
            x = self.input_to_hidden(x)
        finals: list[Tensor] = []
        for n, cell in enumerate(self.rnn_lst):
            x, last = cell(x, None if c0 is None else c0[n], mask_pad)
            finals += last.chunk(cell.count, -1) if self.by_direction else [last]
        return x, torch.stack(finals)


def _linear(weight: Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    made.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    return made
