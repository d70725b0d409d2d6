"""`nn`: float32 networks with whole layers as operations (DESIGN D3, D4).

Sequences are time-first: [T, B, F], with T and B symbolic. Every layer op has a name that is
unique in the program; assignments and reports refer to it. The other operations (elementwise,
shape) have none.
"""

from __future__ import annotations

from xdsl.ir import Dialect

from mohaq.compiler.dialects.nn.choice import (
    RELATIONS,
    ArgReduceOp,
    CastOp,
    CompareOp,
    SelectOp,
)
from mohaq.compiler.dialects.nn.conv import POOLS, Conv1dOp, Pool1dOp
from mohaq.compiler.dialects.nn.elementwise import (
    BINARY,
    REDUCTIONS,
    BinaryOp,
    MatmulOp,
    ReduceOp,
    SoftmaxOp,
    UnaryOp,
)
from mohaq.compiler.dialects.nn.function import CELL_FUNCTIONS, FUNCTIONS, FunctionAttr
from mohaq.compiler.dialects.nn.gru import GruOp
from mohaq.compiler.dialects.nn.layer import LayerOp
from mohaq.compiler.dialects.nn.linear import LinearOp
from mohaq.compiler.dialects.nn.lstm import LstmOp
from mohaq.compiler.dialects.nn.norm import BatchNormOp, EmbeddingOp, LayerNormOp
from mohaq.compiler.dialects.nn.planes import Conv2dOp, Pool2dOp
from mohaq.compiler.dialects.nn.qrnn import POOLINGS, QrnnOp
from mohaq.compiler.dialects.nn.quantize import FakeQuantizeOp
from mohaq.compiler.dialects.nn.recurrent import DIRECTIONS, CellOp, RecurrentOp
from mohaq.compiler.dialects.nn.reshape import ReshapeOp, extent_of
from mohaq.compiler.dialects.nn.rnn import LiGruOp, RnnOp
from mohaq.compiler.dialects.nn.shape import (
    PAD_MODES,
    ConcatOp,
    FlipOp,
    PadOp,
    SliceOp,
    SqueezeOp,
    TransposeOp,
    UnsqueezeOp,
)
from mohaq.compiler.dialects.nn.sru import ACTIVATIONS, SKIPS, SruOp

Nn = Dialect(
    "nn",
    [
        LinearOp,
        Conv1dOp,
        Conv2dOp,
        RnnOp,
        LstmOp,
        GruOp,
        LiGruOp,
        SruOp,
        QrnnOp,
        BatchNormOp,
        LayerNormOp,
        EmbeddingOp,
        FakeQuantizeOp,
        UnaryOp,
        BinaryOp,
        MatmulOp,
        SoftmaxOp,
        ReduceOp,
        Pool1dOp,
        Pool2dOp,
        CompareOp,
        SelectOp,
        CastOp,
        ArgReduceOp,
        TransposeOp,
        ReshapeOp,
        UnsqueezeOp,
        SqueezeOp,
        SliceOp,
        FlipOp,
        ConcatOp,
        PadOp,
    ],
    [FunctionAttr],
)

__all__ = [
    "ACTIVATIONS",
    "BINARY",
    "CELL_FUNCTIONS",
    "DIRECTIONS",
    "FUNCTIONS",
    "PAD_MODES",
    "POOLINGS",
    "POOLS",
    "REDUCTIONS",
    "RELATIONS",
    "SKIPS",
    "ArgReduceOp",
    "BatchNormOp",
    "BinaryOp",
    "CastOp",
    "CellOp",
    "CompareOp",
    "ConcatOp",
    "Conv1dOp",
    "Conv2dOp",
    "EmbeddingOp",
    "FakeQuantizeOp",
    "FlipOp",
    "FunctionAttr",
    "GruOp",
    "LayerNormOp",
    "LayerOp",
    "LiGruOp",
    "LinearOp",
    "LstmOp",
    "MatmulOp",
    "Nn",
    "PadOp",
    "Pool1dOp",
    "Pool2dOp",
    "QrnnOp",
    "RecurrentOp",
    "ReduceOp",
    "ReshapeOp",
    "RnnOp",
    "SelectOp",
    "SliceOp",
    "SoftmaxOp",
    "SqueezeOp",
    "SruOp",
    "TransposeOp",
    "UnaryOp",
    "UnsqueezeOp",
    "extent_of",
]
