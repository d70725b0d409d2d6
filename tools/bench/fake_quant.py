"""Plain PyTorch fake quantization of the speech network: what the search's evaluator is beside.

Written as a user of a PyTorch quantization library would, with what is fair to add: no gradients,
calibrated scales and fake-quantized weights kept for all candidates, PyTorch's fused
fake-quantize kernel, utterances sorted by length into padded batches, one large product for all
time steps of a layer, and both directions in one loop over time. Gates, states and outputs of a
recurrence are rounded to the 16 bits that an assignment gives them, as quantized recurrent layers
of such libraries do; `states=False` leaves them float, which is cheaper and emulates another
program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mohaq.compiler.analysis.storage import CalibratedTable
from mohaq.compiler.assignment import Slot
from mohaq.compiler.data import Dataset
from mohaq.compiler.modules.sru import SRU, SpeechSRU


class FakeQuantLoop:
    """Frame error of assignments.

    Args:
        model: float weights.
        calibrated: the same scales that the integer evaluator has.
        data: frames with classes.
        batch: utterances in a padded batch.
        states: round gates and states.
    """

    def __init__(
        self,
        model: SpeechSRU,
        calibrated: CalibratedTable,
        data: Dataset,
        batch: int = 30,
        *,
        states: bool = True,
    ) -> None:
        self._model = model.eval().requires_grad_(False)
        self._calibrated = calibrated
        self._states = states
        self._weights: dict[tuple[str, int], Tensor] = {}
        order = np.argsort(data.lengths, kind="stable")
        self._batches = [
            _Batch(data, order[start : start + batch]) for start in range(0, len(order), batch)
        ]
        self._frames = data.frames

    def error(self, widths: Mapping[Slot, int]) -> float:
        """Share of wrong frames."""
        wrong = 0
        with torch.inference_mode():
            for batch in self._batches:
                best = self._run(batch, widths).argmax(dim=2)
                wrong += int(((best != batch.labels) & batch.valid).sum())
        return wrong / self._frames

    def _run(self, batch: _Batch, widths: Mapping[Slot, int]) -> Tensor:
        y = batch.inputs
        for name, layer in self._model.named_children():
            y = self._rounded(y, name, widths)
            weight = self._weight(name, layer, widths[Slot(name, "weight")])
            if isinstance(layer, SRU):
                y = _recurrence(torch.matmul(y, weight), layer, batch, self._steps(name))
            else:
                y = torch.matmul(y, weight)
                if isinstance(layer.bias, Tensor):
                    y += layer.bias
        return y

    def _steps(self, name: str) -> _Steps | None:
        if not self._states:
            return None
        gate, state = (self._calibrated.grid(name, slot, 16).step for slot in ("gate", "state"))
        return _Steps(gate, state)

    def _rounded(self, y: Tensor, name: str, widths: Mapping[Slot, int]) -> Tensor:
        return self._fake(y, name, "input", widths[Slot(name, "input")])

    def _weight(self, name: str, layer: torch.nn.Module, width: int) -> Tensor:
        if (name, width) not in self._weights:
            held = layer.weight
            assert isinstance(held, Tensor)
            rounded = self._fake(held, name, "weight", width)
            self._weights[name, width] = rounded.reshape(-1, held.shape[-1]).T.contiguous()
        return self._weights[name, width]

    def _fake(self, x: Tensor, name: str, slot: str, width: int) -> Tensor:
        step = self._calibrated.grid(name, slot, width).step
        half = 1 << (width - 1)
        return torch.fake_quantize_per_tensor_affine(x, step, 0, -half, half - 1)


@dataclass(frozen=True)
class _Steps:
    """Steps of the 16-bit grids of sums before a gate and of states; gates have 2^-15."""

    gate: float
    state: float


def _word(x: Tensor, step: float) -> Tensor:
    return torch.fake_quantize_per_tensor_affine(x, step, 0, -32768, 32767)


class _Batch:
    """Utterances padded to one length [T, B, *], and where the reverse direction reads."""

    def __init__(self, data: Dataset, picked: np.ndarray) -> None:
        lengths = torch.tensor([len(data.inputs[i]) for i in picked])
        steps = int(lengths.max())
        self.inputs = torch.zeros(steps, len(picked), data.inputs[0].shape[1])
        self.labels = torch.zeros(steps, len(picked), dtype=torch.int64)
        for column, i in enumerate(picked):
            self.inputs[: lengths[column], column] = torch.from_numpy(data.inputs[i]).float()
            self.labels[: lengths[column], column] = torch.from_numpy(data.labels[i])
        time = torch.arange(steps)[:, None]
        self.valid = time < lengths
        self.turned = torch.where(self.valid, lengths - 1 - time, time)


def _recurrence(u: Tensor, layer: SRU, batch: _Batch, grids: _Steps | None) -> Tensor:
    """States of products u [T, B, D 3 H] as outputs [T, B, D H]; all layers have two directions."""
    steps, count, _ = u.shape
    hidden = layer.hidden
    u = u.view(steps, count, 2, 3, hidden)
    column = torch.arange(count)
    forward, reverse = u[:, :, 0], u[:, :, 1][batch.turned, column]
    x = torch.stack((forward, reverse), dim=2)
    value = x[:, :, :, 0].contiguous()
    # Both gates lie side by side, so that every step does them at once: [T, 2, B, D, H].
    sums = torch.stack([x[:, :, :, i] + layer.bias[:, i - 1] for i in (1, 2)], dim=1)
    of_state = torch.stack((layer.vector[:, 0], layer.vector[:, 1]))[:, None]
    if grids is not None:
        value, sums = _word(value, grids.state), _word(sums, grids.gate)
    c = u.new_zeros(count, 2, hidden)
    outputs = u.new_empty(steps, count, 2, hidden)
    for t in range(steps):
        gates = torch.addcmul(sums[t], of_state, c)
        if grids is not None:
            gates = _word(torch.sigmoid_(_word(gates, grids.gate)), 2.0**-15)
        else:
            gates = torch.sigmoid_(gates)
        c = torch.lerp(value[t], c, gates[0])
        if grids is not None:
            c = _word(c, grids.state)
        torch.mul(gates[1], c, out=outputs[t])
    if grids is not None:
        outputs = _word(outputs, grids.state)
    back = outputs[:, :, 1][batch.turned, column]
    return torch.cat((outputs[:, :, 0], back), dim=2)
