"""SRU layers and the speech network as PyTorch modules."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mohaq.compiler.modules.sru_op import DIRECTIONS, check_options, sru, sru_train


@dataclass(frozen=True)
class SRUOptions:
    """What kind of SRU layer.

    Attributes:
        direction: `forward`, `reverse` or `bidirectional`.
        skip: `none`, `identity` or `projected`.
        skip_scale: factor of the skip input.
        activation: `identity`, `tanh` or `relu`, of the state in the output.
    """

    direction: str = "forward"
    skip: str = "none"
    skip_scale: float = 1.0
    activation: str = "identity"


class SRU(nn.Module):
    """One SRU layer; the equations are those of the operator `mohaq::sru`.

    Args:
        inputs: I, the width of x.
        hidden: H, units of one direction.
        options: the kind of layer.
        gate_bias: start value of both biases; negative opens the skip path.

    Raises:
        ValueError: an unknown option, or an identity skip with I != D*H.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        options: SRUOptions | None = None,
        *,
        gate_bias: float = 0.0,
    ) -> None:
        super().__init__()
        self.options = options or SRUOptions()
        check_options(self.options.direction, self.options.skip, self.options.activation)
        self.inputs, self.hidden = inputs, hidden
        self.directions = len(DIRECTIONS[self.options.direction])
        if self.options.skip == "identity" and inputs != self.directions * hidden:
            raise ValueError(
                f"an identity skip needs I = D*H, got {inputs} and {self.directions}*{hidden}"
            )
        gates = 4 if self.options.skip == "projected" else 3
        self.weight = nn.Parameter(torch.empty(self.directions, gates, hidden, inputs))
        self.vector = nn.Parameter(torch.empty(self.directions, 2, hidden))
        self.bias = nn.Parameter(torch.full((self.directions, 2, hidden), gate_bias))
        bound = math.sqrt(3.0 / inputs)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.vector, -1.0 / math.sqrt(hidden), 1.0 / math.sqrt(hidden))

    def extra_repr(self) -> str:
        """The sizes and options, for `print`."""
        return f"{self.inputs}, {self.hidden}, {self.options}"

    def forward(
        self, x: Tensor, c0: Tensor | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run the layer.

        Args:
            x: [T, B, I].
            c0: [D, B, H] start state; zero when None.
            lengths: [B] true lengths of a padded batch; for training only, since the exported
                operator has no lengths.

        Returns:
            y [T, B, D*H] and the last state [D, B, H].
        """
        if c0 is None:
            c0 = x.new_zeros(self.directions, x.shape[1], self.hidden)
        o = self.options
        tensors = (x, c0, self.weight, self.vector, self.bias)
        settings = (o.direction, o.skip, o.skip_scale, o.activation)
        if lengths is not None:
            return sru_train(*tensors, *settings, lengths)
        y, c_last = sru(*tensors, *settings)
        return y, c_last


@dataclass(frozen=True)
class SpeechOptions:
    """Sizes of the speech network.

    Attributes:
        inputs: features a frame.
        hidden: units of one direction of each layer.
        projection: width between layers.
        classes: outputs a frame.
    """

    inputs: int = 23
    hidden: int = 128
    projection: int = 64
    classes: int = 48


PRESETS: dict[str, SpeechOptions] = {
    "default": SpeechOptions(),
    "paper": SpeechOptions(hidden=550, projection=256, classes=1904),
}
"""`paper`: the sizes of MOHAQ (arXiv 2108.01192)."""


class SpeechSRU(nn.Module):
    """Four bidirectional SRU layers with projections between them and a linear output.

    Args:
        options: sizes, or a name in `PRESETS`.
        dropout: share of features dropped before l1..l3 and fc in training.
    """

    def __init__(self, options: SpeechOptions | str = "default", *, dropout: float = 0.0) -> None:
        super().__init__()
        size = PRESETS[options] if isinstance(options, str) else options
        self.size = size
        kind = SRUOptions(direction="bidirectional")
        wide = 2 * size.hidden
        self.l0 = SRU(size.inputs, size.hidden, kind)
        self.pr1 = nn.Linear(wide, size.projection, bias=False)
        self.l1 = SRU(size.projection, size.hidden, kind)
        self.pr2 = nn.Linear(wide, size.projection, bias=False)
        self.l2 = SRU(size.projection, size.hidden, kind)
        self.pr3 = nn.Linear(wide, size.projection, bias=False)
        self.l3 = SRU(size.projection, size.hidden, kind)
        self.fc = nn.Linear(wide, size.classes)
        self.dropout = dropout

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Class scores of every frame.

        Args:
            x: [T, B, inputs].
            lengths: [B], for training on padded batches only.

        Returns:
            [T, B, classes] logits.
        """
        y, _ = self.l0(x, None, lengths)
        for project, layer in ((self.pr1, self.l1), (self.pr2, self.l2), (self.pr3, self.l3)):
            y = project(y)
            if self.dropout:
                y = nn.functional.dropout(y, self.dropout, self.training)
            y, _ = layer(y, None, lengths)
        if self.dropout:
            y = nn.functional.dropout(y, self.dropout, self.training)
        logits: Tensor = self.fc(y)
        return logits
