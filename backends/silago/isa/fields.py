"""The field table: where every field of every instruction lies.

Positions count inside the whole instruction of `max_words` x 27 bits; word 0 is the most
significant one. Source: the public ISA description of the SiLago-1 "NN" generation, cross-checked
with the unpack functions of its public RTL (docs/isa/silago.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

WORD_BITS = 27
OPCODE_BITS = 4
WORD_MASK = (1 << WORD_BITS) - 1

_SD = {"s": 0, "d": 1}
_NY = {"n": 0, "y": 1}


@dataclass(frozen=True)
class Field:
    """Bits hi..lo of an instruction; `fixed` ones always carry `default`."""

    name: str
    hi: int
    lo: int
    default: int = 0
    symbols: Mapping[str, int] = field(default_factory=dict)
    fixed: bool = False

    @property
    def width(self) -> int:
        """Number of bits."""
        return self.hi - self.lo + 1

    @cached_property
    def largest(self) -> int:
        """Largest raw value."""
        return (1 << self.width) - 1


@dataclass(frozen=True)
class Format:
    """One instruction: opcode in bits 26..23 of word 0, words, fields."""

    name: str
    opcode: int
    max_words: int
    fields: tuple[Field, ...]

    @cached_property
    def bits(self) -> int:
        """Bits of the longest form."""
        return self.max_words * WORD_BITS

    def word_of(self, item: Field) -> int:
        """The word that a field lies in."""
        return (self.bits - 1 - item.hi) // WORD_BITS

    @cached_property
    def free(self) -> tuple[tuple[Field, int], ...]:
        """Fields that an instruction chooses, each with its word."""
        return tuple((f, self.word_of(f)) for f in self.fields if not f.fixed)


DPU_MODES = (
    "idle", "add", "sum_acc", "add_const", "subt", "subt_abs", "mode_6", "mult", "mult_add",
    "mult_const", "mac", "ld_ir", "axpy", "max_min_acc", "max_min_const", "mode_15", "max_min",
    "shift_l", "shift_r", "sigm", "tanhyp", "expon", "lk_relu", "relu", "div", "acc_softmax",
    "div_softmax", "ld_acc", "scale_dw", "scale_up", "mac_inter", "mode_31",
)  # fmt: skip

_FORMATS = (
    Format("HALT", 0, 1, ()),
    Format(
        "REFI",
        1,
        3,
        (
            Field("port_no", 76, 75, 0, {"w0": 0, "w1": 1, "r0": 2, "r1": 3}),
            Field("extra", 74, 73),
            Field("init_addr_sd", 72, 72, 0, _SD),
            Field("init_addr", 71, 66),
            Field("l1_iter", 65, 60),
            Field("init_delay", 59, 54),
            Field("l1_iter_sd", 53, 53, 0, _SD),
            Field("init_delay_sd", 52, 52, 0, _SD),
            Field("unused_0", 51, 50, 2, fixed=True),
            Field("l1_step_sd", 49, 49, 0, _SD),
            Field("l1_step", 48, 43, 1),
            Field("l1_step_sign", 42, 42, 0, {"+": 0, "-": 1}),
            Field("l1_delay_sd", 41, 41, 0, _SD),
            Field("l1_delay", 40, 37),
            Field("l2_iter_sd", 36, 36, 0, _SD),
            Field("l2_iter", 35, 31),
            Field("l2_step", 30, 27, 1),
            Field("unused_1", 26, 23, 3, fixed=True),
            Field("l2_delay_sd", 22, 22, 0, _SD),
            Field("l2_delay", 21, 16),
            Field("unused_2", 15, 10, 0, fixed=True),
            Field("l1_delay_ext", 9, 8),
            Field("l2_iter_ext", 7, 7),
            Field("l2_step_ext", 6, 5),
            Field("unused_3", 4, 2, 0, fixed=True),
            Field("dimarch", 1, 1, 0, _NY),
            Field("compress", 0, 0, 0, _NY),
        ),
    ),
    Format(
        "DPU",
        4,
        1,
        (
            Field("mode", 22, 18, 0, {name: code for code, name in enumerate(DPU_MODES)}),
            Field("control", 17, 16, 2, {"nosat_int": 0, "nosat_fx": 1, "sat_int": 2, "sat_fx": 3}),
            Field("unused_0", 15, 10, 2, fixed=True),
            Field("acc_clear", 9, 2),
            Field(
                "io_change",
                1,
                0,
                0,
                {"no_change": 0, "negate_in0": 1, "negate_in1": 2, "abs_out": 3},
            ),
        ),
    ),
    Format(
        "SWB",
        5,
        1,
        (
            Field("unused0", 22, 22, 1, fixed=True),
            Field("src_row", 21, 21),
            Field("src_block", 20, 20, 0, {"rf": 0, "dpu": 1}),
            Field("src_port", 19, 19),
            Field("hb_index", 18, 16),
            Field("send_to_other_row", 15, 15, 0, _NY),
            Field("v_index", 14, 12),
        ),
    ),
    Format("JUMP", 6, 1, (Field("pc", 22, 17),)),
    Format("WAIT", 7, 1, (Field("cycle_sd", 22, 22, 0, _SD), Field("cycle", 21, 7))),
    Format(
        "LOOP",
        8,
        2,
        (
            Field("extra", 49, 49),
            Field("loopid", 48, 47),
            Field("endpc", 46, 41),
            Field("start_sd", 40, 40, 0, _SD),
            Field("start", 39, 34),
            Field("iter_sd", 33, 33, 0, _SD),
            Field("iter", 32, 27),
            Field("step_sd", 26, 26, 0, _SD),
            Field("step", 25, 20, 1),
            Field("link", 19, 16),
        ),
    ),
    Format(
        "BW_CONFIG",
        9,
        1,
        (Field("bw", 22, 21, 0, {"int16": 0, "int8x2": 1, "q4_11": 2, "int4x4": 3}),),
    ),
    Format(
        "RACCU",
        10,
        1,
        (
            Field(
                "mode",
                22,
                20,
                0,
                {
                    "idle": 0,
                    "add": 1,
                    "sub": 2,
                    "shift_r": 3,
                    "shift_l": 4,
                    "mult": 5,
                    "mult_add": 6,
                    "mult_sub": 7,
                },
            ),
            Field("operand1_sd", 19, 19, 0, _SD),
            Field("operand1", 18, 12),
            Field("operand2_sd", 11, 11, 0, _SD),
            Field("operand2", 10, 4),
            Field("result", 3, 0),
        ),
    ),
    Format("BRANCH", 11, 1, (Field("mode", 22, 21), Field("false_pc", 20, 15))),
    Format(
        "ROUTE",
        12,
        1,
        (
            Field("horizontal_dir", 22, 22, 0, {"w": 0, "e": 1}),
            Field("horizontal_hops", 21, 19),
            Field("vertical_dir", 18, 18, 0, {"s": 0, "n": 1}),
            Field("vertical_hops", 17, 15),
            Field("direction", 14, 14, 0, {"r": 0, "w": 1}),
            Field("select_drra_row", 13, 13),
        ),
    ),
    Format(
        "SRAM",
        13,
        3,
        (
            Field("rw", 76, 76, 0, {"r": 0, "w": 1}),
            Field("init_addr", 75, 69),
            Field("init_delay", 68, 65),
            Field("l1_iter", 64, 58),
            Field("l1_step", 57, 50, 1),
            Field("l1_delay", 49, 44),
            Field("l2_iter", 43, 37),
            Field("l2_step", 36, 29, 1),
            Field("l2_delay", 28, 23),
            Field("init_addr_sd", 22, 22, 0, _SD),
            Field("l1_iter_sd", 21, 21, 0, _SD),
            Field("l2_iter_sd", 20, 20, 0, _SD),
            Field("init_delay_sd", 19, 19, 0, _SD),
            Field("l1_delay_sd", 18, 18, 0, _SD),
            Field("l2_delay_sd", 17, 17, 0, _SD),
            Field("l1_step_sd", 16, 16, 0, _SD),
            Field("l2_step_sd", 15, 15, 0, _SD),
            Field("hops", 14, 11),
        ),
    ),
)

FORMATS: Mapping[str, Format] = {f.name: f for f in _FORMATS}
"""All instructions by name."""

BY_OPCODE: Mapping[int, Format] = {f.opcode: f for f in _FORMATS}
"""All instructions by opcode."""

SRAM_ALIAS = 14
"""The RTL decodes this opcode as SRAM too; we never emit it."""
