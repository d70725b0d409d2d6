"""The speech network with LSTM or GRU layers, made of PyTorch's own modules."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class GatedOptions:
    """Sizes of the network.

    Attributes:
        cell: `lstm` or `gru`.
        hidden: units of one direction of each layer.
        inputs: features a frame.
        projection: width between the layers.
        classes: outputs a frame.
    """

    cell: str
    hidden: int
    inputs: int = 23
    projection: int = 64
    classes: int = 48


GATED: dict[str, GatedOptions] = {
    "lstm": GatedOptions("lstm", 96),
    "gru": GatedOptions("gru", 112),
}
"""Hidden widths give about as many parameters as the SRU network has."""


class SpeechGated(nn.Module):
    """Two bidirectional layers with a projection between them and a linear output.

    Args:
        options: sizes, or a name in `GATED`.
        dropout: share of features dropped before l1 and fc in training.
    """

    def __init__(self, options: GatedOptions | str, *, dropout: float = 0.0) -> None:
        super().__init__()
        size = GATED[options] if isinstance(options, str) else options
        self.size = size
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[size.cell]
        wide = 2 * size.hidden
        self.l0 = kind(size.inputs, size.hidden, bidirectional=True)
        self.pr1 = nn.Linear(wide, size.projection, bias=False)
        self.l1 = kind(size.projection, size.hidden, bidirectional=True)
        self.fc = nn.Linear(wide, size.classes)
        self.dropout = dropout
        if size.cell == "lstm":
            self._open_forget_gates()

    def _open_forget_gates(self) -> None:
        """Start the forget gates near open (bias 1), so that early gradients reach far back."""
        forget = slice(self.size.hidden, 2 * self.size.hidden)
        with torch.no_grad():
            for layer in (self.l0, self.l1):
                for name, bias in layer.named_parameters():
                    if name.startswith("bias"):
                        bias[forget] = 0.5  # two biases add up

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Class scores of every frame.

        Args:
            x: [T, B, inputs].
            lengths: [B], for padded batches in training only; the reverse direction then starts at
                each sequence's own end.

        Returns:
            [T, B, classes] logits.
        """
        y = self.pr1(_run(self.l0, x, lengths))
        if self.dropout:
            y = nn.functional.dropout(y, self.dropout, self.training)
        y = _run(self.l1, y, lengths)
        if self.dropout:
            y = nn.functional.dropout(y, self.dropout, self.training)
        logits: Tensor = self.fc(y)
        return logits


def _run(layer: nn.LSTM | nn.GRU, x: Tensor, lengths: Tensor | None) -> Tensor:
    """The outputs [T, B, 2*H] of one bidirectional layer.

    With lengths, each direction runs over the padded batch and the second over every sequence turned
    round within its own length: what packed sequences give, several times faster on a CPU.
    """
    if lengths is None:
        y: Tensor = layer(x)[0]
        return y
    turn = _turned(lengths, x.shape[0])
    forward = _direction(layer, x, "")
    reverse = _direction(layer, _take(x, turn), "_reverse")
    return torch.cat((forward, _take(reverse, turn)), dim=-1)


def _turned(lengths: Tensor, frames: int) -> Tensor:
    """Frame numbers [T, B] with each sequence reversed and its padding left in place."""
    frame = torch.arange(frames)[:, None]
    return torch.where(frame < lengths, lengths - 1 - frame, frame)


def _take(x: Tensor, frames: Tensor) -> Tensor:
    return x.gather(0, frames[:, :, None].expand(-1, -1, x.shape[2]))


def _direction(layer: nn.LSTM | nn.GRU, x: Tensor, suffix: str) -> Tensor:
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    weights = [getattr(layer, name + suffix) for name in names]
    zero = x.new_zeros(1, x.shape[1], layer.hidden_size)
    y: Tensor
    if isinstance(layer, nn.LSTM):
        y, _, _ = torch.lstm(x, (zero, zero), weights, True, 1, 0.0, True, False, False)
    else:
        y, _ = torch.gru(x, zero, weights, True, 1, 0.0, True, False, False)
    return y
