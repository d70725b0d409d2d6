"""What SiLago accepts, as a table that is a golden file (rewrite it with MOHAQ_UPDATE_GOLDEN=1)."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from mohaq.backends.silago import BACKEND
from mohaq.compiler.analysis.layers import Layer
from mohaq.compiler.diagnostics import MohaqError

GOLDEN = Path(__file__).parents[2] / "data" / "silago" / "accepted.txt"
TARGETS = ("silago1-rtl", "silago1-nn", "silago-mohaq")

SLOTS = ("weight", "input")
LSTM = ("sigmoid", "tanh", "tanh")
BASE = Layer("l", "linear", 40, 30, SLOTS, None, None, bias=True)
SRU = replace(BASE, kind="sru", hidden=10, gates=3, functions=("sigmoid", "identity"))
CELL = replace(BASE, hidden=10, recurrent_inputs=10, slots=(*SLOTS, "recurrent", "hidden"), gates=4)
LSTM_LAYER = replace(CELL, kind="lstm", recurrent_outputs=40, outputs=40, functions=LSTM)
GRU = replace(
    CELL, kind="gru", gates=3, recurrent_outputs=30, functions=("sigmoid", "tanh"), unit=("state",)
)
LAYERS = {
    "linear 40 -> 30": BASE,
    "linear 40 -> 30, no bias": replace(BASE, bias=False),
    "linear 1856 -> 30": replace(BASE, inputs=1856),
    "linear 1857 -> 30": replace(BASE, inputs=1857),
    "sru": SRU,
    "sru, two directions, projected skip": replace(SRU, directions=2, gates=4, skip="projected"),
    "sru, tanh": replace(SRU, functions=("sigmoid", "tanh")),
    "sru, relu": replace(SRU, functions=("sigmoid", "relu")),
    "sru, table of 64 segments": replace(SRU, table_points=65),
    "lstm": LSTM_LAYER,
    "lstm, two directions": replace(LSTM_LAYER, directions=2, functions=LSTM * 2),
    "lstm, peepholes": replace(LSTM_LAYER, peepholes=3),
    "lstm, coupled": replace(LSTM_LAYER, gates=3),
    "lstm, projection": replace(LSTM_LAYER, projected=True),
    "lstm, clip": replace(LSTM_LAYER, clipped=True),
    "lstm, relu of c": replace(LSTM_LAYER, functions=("sigmoid", "tanh", "relu")),
    "lstm, relu before c": replace(LSTM_LAYER, functions=("sigmoid", "relu", "tanh")),
    "lstm, hard_sigmoid": replace(LSTM_LAYER, functions=("hard_sigmoid 0.2 0.5", "tanh", "tanh")),
    "gru, reset after": GRU,
    "gru, reset before": replace(GRU, reset_after=False),
    "gru, relu": replace(GRU, functions=("sigmoid", "relu")),
    "rnn": replace(CELL, kind="rnn", functions=("tanh",)),
    "rnn, relu": replace(CELL, kind="rnn", functions=("relu",)),
    "rnn, relu, two directions": replace(
        CELL, kind="rnn", functions=("relu", "relu"), directions=2
    ),
    "rnn, tanh and relu": replace(CELL, kind="rnn", functions=("tanh", "relu"), directions=2),
    "rnn, clip": replace(CELL, kind="rnn", functions=("tanh",), clipped=True),
    "ligru": replace(CELL, kind="ligru", functions=("sigmoid", "relu")),
    "ligru, tanh": replace(CELL, kind="ligru", functions=("sigmoid", "tanh")),
    "qrnn": replace(CELL, kind="qrnn", functions=("sigmoid", "tanh")),
    "qrnn, two directions": replace(CELL, kind="qrnn", functions=("sigmoid", "tanh"), directions=2),
    "qrnn, window of 2": replace(CELL, kind="qrnn", functions=("sigmoid", "tanh"), window=2),
}


def table() -> str:
    lines = []
    for name in TARGETS:
        target = BACKEND.load_target(name)
        lines.append(name)
        for title, layer in LAYERS.items():
            try:
                legal = BACKEND.legality(layer, target)
            except MohaqError as error:
                lines.append(f"  {title}: refused, {error.what}")
            else:
                (group,) = legal.groups
                assert all(len(set(choice)) == 1 for choice in group.choices)
                assert legal.scale_kind == "power-of-two"
                lines.append(f"  {title}: {', '.join(str(c[0]) for c in group.choices)} bits")
    return "\n".join(lines) + "\n"


def test_what_is_accepted() -> None:
    made = table()
    if os.environ.get("MOHAQ_UPDATE_GOLDEN"):
        GOLDEN.write_text(made)
    assert made == GOLDEN.read_text()
