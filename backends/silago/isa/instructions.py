"""The instructions, one frozen dataclass each. Values are the raw unsigned ones of the words.

REFI and SRAM iteration fields hold the count minus one, WAIT the cycles minus one, LOOP the trip
count. Names are those of the public ISA description (isa/fields.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from mohaq.backends.silago.isa.fields import FORMATS, Format
from mohaq.compiler.diagnostics import MohaqError


class Mode(IntEnum):
    """DPU modes."""

    IDLE = 0
    ADD = 1
    SUM_ACC = 2
    ADD_CONST = 3
    SUBT = 4
    SUBT_ABS = 5
    MODE_6 = 6
    MULT = 7
    MULT_ADD = 8
    MULT_CONST = 9
    MAC = 10
    LD_IR = 11
    AXPY = 12
    MAX_MIN_ACC = 13
    MAX_MIN_CONST = 14
    MODE_15 = 15
    MAX_MIN = 16
    SHIFT_L = 17
    SHIFT_R = 18
    SIGM = 19
    TANHYP = 20
    EXPON = 21
    LK_RELU = 22
    RELU = 23
    DIV = 24
    ACC_SOFTMAX = 25
    DIV_SOFTMAX = 26
    LD_ACC = 27
    SCALE_DW = 28
    SCALE_UP = 29
    MAC_INTER = 30
    MODE_31 = 31


class Port(IntEnum):
    """Ports of a register file, as in REFI."""

    W0 = 0
    W1 = 1
    R0 = 2
    R1 = 3


class Bw(IntEnum):
    """Operand formats of BW_CONFIG."""

    INT16 = 0
    INT8X2 = 1
    Q4_11 = 2
    INT4X4 = 3


class Change(IntEnum):
    """What a DPU does to its operands or its output (io_change)."""

    NONE = 0
    NEGATE_IN0 = 1
    NEGATE_IN1 = 2
    ABS_OUT = 3


class RaccuMode(IntEnum):
    """Operations of the address unit."""

    IDLE = 0
    ADD = 1
    SUB = 2
    SHIFT_R = 3
    SHIFT_L = 4
    MULT = 5
    MULT_ADD = 6
    MULT_SUB = 7


class Sink(IntEnum):
    """Destinations of a switchbox connection (v_index)."""

    W0 = 0
    W1 = 1
    IN0 = 2
    IN1 = 3
    IN2 = 4
    IN3 = 5


@dataclass(frozen=True)
class Instruction:
    """Base of all instructions."""

    NAME: ClassVar[str] = ""

    @property
    def format(self) -> Format:
        """Where the fields lie."""
        return FORMATS[self.NAME]

    @property
    def words(self) -> int:
        """Words that the instruction takes in the program."""
        return 1

    def raw(self) -> Mapping[str, int]:
        """Raw value of every field of the words, fixed ones included."""
        return {
            f.name: f.default if f.fixed else int(getattr(self, f.name)) for f in self.format.fields
        }

    def check(self) -> None:
        """Check that every field fits its bits and that absent words hold defaults.

        Raises:
            MohaqError: a field is out of range, or needs a word that `extra` leaves out.
        """
        for item, _ in self.format.free:
            value = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise MohaqError(f"field '{item.name}' of {self.NAME} must be a whole number")
            if not 0 <= value <= item.largest:
                raise MohaqError(
                    f"field '{item.name}' of {self.NAME} must be 0..{item.largest}, got {value}"
                )
        words = self.words
        if words == self.format.max_words:
            return
        for item, word in self.format.free:
            value = getattr(self, item.name)
            if word >= words and value != item.default:
                raise MohaqError(
                    f"field '{item.name}' of {self.NAME} needs word {word}",
                    why=f"extra = {words - 1} leaves it out and it is {value}",
                )


@dataclass(frozen=True)
class Halt(Instruction):
    """Ends the program."""

    NAME: ClassVar[str] = "HALT"


@dataclass(frozen=True)
class Refi(Instruction):
    """Starts an access pattern on a register-file port.

    Element j of repetition i: address init_addr + i l2_step + j l1_step (mod 64).
    """

    port_no: int
    extra: int = 0
    init_addr: int = 0
    l1_iter: int = 0
    init_delay: int = 0
    l1_step: int = 1
    l1_step_sign: int = 0
    l1_delay: int = 0
    l2_iter: int = 0
    l2_step: int = 1
    l2_delay: int = 0
    l1_delay_ext: int = 0
    l2_iter_ext: int = 0
    l2_step_ext: int = 0
    dimarch: int = 0
    compress: int = 0
    init_addr_sd: int = 0
    l1_iter_sd: int = 0
    init_delay_sd: int = 0
    l1_step_sd: int = 0
    l1_delay_sd: int = 0
    l2_iter_sd: int = 0
    l2_delay_sd: int = 0
    NAME: ClassVar[str] = "REFI"

    @property
    def words(self) -> int:
        """1 + extra."""
        return 1 + self.extra

    def check(self) -> None:
        """`extra` is 0, 1 or 2."""
        if self.extra not in {0, 1, 2}:
            raise MohaqError(f"field 'extra' of REFI must be 0..2, got {self.extra}")
        super().check()

    @property
    def full_l1_delay(self) -> int:
        """l1_delay with its high part."""
        return self.l1_delay | self.l1_delay_ext << 4

    @property
    def full_l2_iter(self) -> int:
        """l2_iter (count minus one) with its high part."""
        return self.l2_iter | self.l2_iter_ext << 5

    @property
    def full_l2_step(self) -> int:
        """l2_step with its high part."""
        return self.l2_step | self.l2_step_ext << 4


@dataclass(frozen=True)
class Dpu(Instruction):
    """Sets the mode of the datapath and clears its accumulators.

    `shift` is our `wide_acc` extension: an arithmetic right shift of the lane accumulators before
    the output saturates; from 32 on its six bits stand for shifts to the left (shift - 64). It
    travels in the fixed bits 15:10 as `shift XOR 2`, so that 0 gives the fixed value; the public
    RTL ignores those bits.
    """

    mode: int
    control: int = 2
    acc_clear: int = 0
    io_change: int = 0
    shift: int = 0
    NAME: ClassVar[str] = "DPU"

    def raw(self) -> Mapping[str, int]:
        """The fixed field carries the shift."""
        return {**super().raw(), "unused_0": self.shift ^ 2}

    def check(self) -> None:
        """The shift has six bits."""
        super().check()
        if not 0 <= self.shift <= 63:
            raise MohaqError(f"field 'shift' of DPU must be 0..63, got {self.shift}")


@dataclass(frozen=True)
class Swb(Instruction):
    """Connects a source to a destination port of this cell.

    The source column is this cell's column + hb_index - 2; the source row is the other one when
    `send_to_other_row` is set (`src_row` has no effect, emit it truthfully).
    """

    hb_index: int
    v_index: int
    src_block: int = 0
    src_port: int = 0
    src_row: int = 0
    send_to_other_row: int = 0
    NAME: ClassVar[str] = "SWB"


@dataclass(frozen=True)
class Jump(Instruction):
    """Continues at `pc`."""

    pc: int
    NAME: ClassVar[str] = "JUMP"


@dataclass(frozen=True)
class Wait(Instruction):
    """Holds the sequencer for `cycle` + 1 edges."""

    cycle: int
    cycle_sd: int = 0
    NAME: ClassVar[str] = "WAIT"


@dataclass(frozen=True)
class Loop(Instruction):
    """Repeats the instructions up to `endpc` `iter` times; the iterator lies in register 15 - id."""

    endpc: int
    iter: int
    loopid: int = 0
    start: int = 0
    step: int = 1
    link: int = 0
    extra: int = 0
    start_sd: int = 0
    iter_sd: int = 0
    step_sd: int = 0
    NAME: ClassVar[str] = "LOOP"

    @property
    def words(self) -> int:
        """1 + extra."""
        return 1 + self.extra

    def check(self) -> None:
        """`extra` is 0 or 1."""
        if self.extra not in {0, 1}:
            raise MohaqError(f"field 'extra' of LOOP must be 0..1, got {self.extra}")
        super().check()


@dataclass(frozen=True)
class BwConfig(Instruction):
    """Sets the operand format of the datapath (in the RTL only, absent from the ISA text)."""

    bw: int
    NAME: ClassVar[str] = "BW_CONFIG"


@dataclass(frozen=True)
class Raccu(Instruction):
    """result = operand1 op operand2 on the 7-bit address registers."""

    mode: int
    operand1: int
    operand2: int
    result: int
    operand1_sd: int = 0
    operand2_sd: int = 0
    NAME: ClassVar[str] = "RACCU"


@dataclass(frozen=True)
class Branch(Instruction):
    """Jumps to `false_pc` when (mode AND compare status) = 0."""

    mode: int
    false_pc: int
    NAME: ClassVar[str] = "BRANCH"


@dataclass(frozen=True)
class Route(Instruction):
    """Opens a path between this column's memory port and a tile; it stays."""

    horizontal_dir: int = 0
    horizontal_hops: int = 0
    vertical_dir: int = 0
    vertical_hops: int = 0
    direction: int = 0
    select_drra_row: int = 0
    NAME: ClassVar[str] = "ROUTE"


@dataclass(frozen=True)
class Sram(Instruction):
    """Starts an access pattern on the routed memory tile; one row of 256 bits an access."""

    rw: int = 0
    init_addr: int = 0
    init_delay: int = 0
    l1_iter: int = 0
    l1_step: int = 1
    l1_delay: int = 0
    l2_iter: int = 0
    l2_step: int = 1
    l2_delay: int = 0
    init_addr_sd: int = 0
    l1_iter_sd: int = 0
    l2_iter_sd: int = 0
    init_delay_sd: int = 0
    l1_delay_sd: int = 0
    l2_delay_sd: int = 0
    l1_step_sd: int = 0
    l2_step_sd: int = 0
    hops: int = 0
    NAME: ClassVar[str] = "SRAM"

    @property
    def words(self) -> int:
        """Always 3."""
        return 3


KINDS: Mapping[str, type[Instruction]] = {
    kind.NAME: kind
    for kind in (
        Halt, Refi, Dpu, Swb, Jump, Wait, Loop, BwConfig, Raccu, Branch, Route, Sram,
    )
}  # fmt: skip
"""The dataclass of each instruction name."""
