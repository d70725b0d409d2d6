"""The host of an emitted folder: moves rows, loads programs, starts the cells, counts.

It owns what the fabric's test bench owns: the port of the memory tiles and the bus that programs
are loaded over. It computes no value: it copies 16-bit words between its memory and rows of
tiles, replicates the low bits of an input word into the lanes, and cuts and joins vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mohaq.backends.silago.machine import Fabric
from mohaq.backends.silago.port import Port
from mohaq.backends.silago.simulator.state import Delivery, Run, State, reset
from mohaq.compiler.diagnostics import MohaqError

Ints = npt.NDArray[np.int64]
Row = Mapping[str, Any]
Engine = Callable[[Fabric, State, Mapping[tuple[int, int], Sequence[int]], Sequence[Delivery]], Run]

CHUNK = 16
NONLINEAR = ("dpu_sigm", "dpu_tanhyp")
ELEMENTWISE = ("dpu_add", "dpu_subt", "dpu_mult", "dpu_shift_l", "dpu_shift_r")
MEASURED = ("macs_16", "macs_8", "macs_4", "sram_bits_read", "sram_bits_written")


class Host:
    """Runs the phases of one folder."""

    def __init__(
        self,
        data: Row,
        fabric: Fabric,
        integers: Mapping[str, Ints],
        images: Mapping[str, npt.NDArray[np.int16]],
        engine: Engine,
        counters: Sequence[str],
    ) -> None:
        self.data, self.fabric, self.engine = data, fabric, engine
        self.integers, self.images = integers, images
        self.state = reset(fabric)
        self.names = tuple(counters)
        self.counts: dict[str, dict[str, int]] = {
            name: dict.fromkeys(self.names, 0) for name in data["layers"]
        }
        self.loaded: object = None
        self.held: set[object] = set()
        """Segments whose rows of fixed inputs lie in the tiles."""

    def run(self, inputs: Sequence[Ints]) -> tuple[Ints, ...]:
        """Values of the program's results."""
        values: dict[int, Ints] = dict(enumerate(inputs))
        self._ops(self.data["ops"], values)
        return tuple(values[n] for n in self.data["results"])

    def _ops(self, rows: Sequence[Row], values: dict[int, Ints]) -> None:
        for row in rows:
            given = [values[n] for n in row["in"]]
            kind = row["op"]
            if kind not in _OPS:
                raise MohaqError(f"a SiLago program has no step '{kind}'")
            made = _OPS[kind](self, row, given, values)
            values.update(zip(row["out"], made, strict=True))

    # -- the fabric -------------------------------------------------------------------------------

    def _count(self, layer: str, name: str, amount: int) -> None:
        self.counts[layer][name] += amount

    def _load(self, row: Row, program: int, key: object) -> None:
        """Load a program unless it is the one that the cells hold."""
        if self.loaded == key:
            return
        self.loaded = key
        words = sum(len(w) for w in self.data["programs"][program].values())
        self._count(row["layer"], "load_cycles", words)
        self._count(row["layer"], "cycles", words)

    def _start(
        self,
        row: Row,
        program: int,
        cells: int,
        columns: int,
        deliveries: Sequence[Delivery] = (),
    ) -> int:
        """Run the loaded program on the first cells of some columns; gives its cycles."""
        words = self.data["programs"][program]
        places = [divmod(i, columns) for i in range(cells)]
        run = self.engine(
            self.fabric, self.state, {(r, c): words[str(r)] for r, c in places}, deliveries
        )
        layer = row["layer"]
        for name in MEASURED:
            self._count(layer, name, int(run.counters.get(name, 0)))
        for name, kinds in (("nonlinear", NONLINEAR), ("elementwise", ELEMENTWISE)):
            self._count(layer, name, sum(int(run.counters.get(k, 0)) for k in kinds))
        if run.counters.get("lost_patterns", 0):
            raise MohaqError("a memory tile lost a read", where=f"layer '{layer}'")
        self._count(layer, "run_cycles", run.cycles)
        self._count(layer, "cycles", run.cycles)
        return run.cycles

    def _wait(self, row: Row, cycles: int) -> None:
        self._count(row["layer"], "cycles", cycles)

    def _results(self, cell: int, columns: int, first: int, rows: int) -> npt.NDArray[np.int16]:
        """Result rows of a cell, in the near tile of its column: those of row 0 come first."""
        row, col = divmod(cell, columns)
        return self.state.sram[0, col, first + row * rows : first + (row + 1) * rows]

    def matrix(self, row: Row, given: list[Ints], _: dict[int, Ints]) -> tuple[Ints, ...]:
        """Products of every vector of the operand."""
        (x,) = given
        vectors = x.reshape(-1, x.shape[-1])
        if not row["keep"]:
            self.loaded = None
        product = _Product(self, row)
        # Two at once where the program can.
        most = max(int(n) for n in row["programs"])
        pairs = len(vectors) // 2 * 2 if most == 2 else 0
        made = [product.of(vectors[n : n + 2]) for n in range(0, pairs, 2)]
        made += [product.of(vectors[n : n + 1]) for n in range(pairs, len(vectors))]
        self._wait(row, product.port.after())
        return (np.concatenate(made).reshape(*x.shape[:-1], row["rows"]),)

    def vector(self, row: Row, given: list[Ints], _: dict[int, Ints]) -> tuple[Ints, ...]:
        """Passes over every vector of the operands."""
        lead = max((g.shape[:-1] for g in given), key=len)
        extent, frames = row["extent"], int(np.prod(lead))
        held: dict[int, Ints] = {
            n: np.broadcast_to(g, (*lead, extent)).reshape(frames, extent)
            for n, g in enumerate(given)
        }
        for n, value in enumerate(row["constants"], start=len(given)):
            held[n] = np.full((frames, extent), value, dtype=np.int64)
        if not row["keep"]:
            self.loaded = None
        for number, segment in enumerate(row["segments"]):
            for n in segment["outputs"]:
                held[n] = np.zeros((frames, extent), dtype=np.int64)
            self._load(row, segment["program"], (id(row), number))
            port = Port(self.fabric)
            for frame in range(frames):
                key = (id(row), number)
                stays = segment["fixed"] if key in self.held else 0
                self._segment(row, segment, held, frame, extent, port, stays)
                if segment["fixed"]:
                    self.held.add(key)
            self._wait(row, port.after())
        return tuple(held[n].reshape(*lead, extent) for n in row["kept"])

    def _segment(
        self,
        row: Row,
        segment: Row,
        held: dict[int, Ints],
        frame: int,
        extent: int,
        port: Port,
        stays: int,
    ) -> None:
        """One vector; the first `stays` rows of every chunk are in the tiles already."""
        cells, rounds, runs = segment["cells"], segment["rounds"], segment["runs"]
        inputs, outputs, height = segment["inputs"], segment["outputs"], segment["rows"]
        base = segment["base"]
        width = segment["width"]
        slots, room = CHUNK // width, runs * rounds * cells * width
        given = np.zeros((slots * height, room), dtype=np.int16)
        for slot, n in enumerate(inputs):
            given[slot, :extent] = held[n][frame]
        # [row, slot, run, round, cell, element] -> [run, cell, round, row, word]
        image = given.reshape(height, slots, runs, rounds, cells, width)
        image = image.transpose(2, 4, 3, 0, 1, 5).reshape(runs, cells, rounds, height, CHUNK)
        found = np.zeros((runs, cells, rounds, CHUNK), dtype=np.int16)
        for run in range(runs):
            moved = cells * rounds * (height - stays)
            self._wait(row, port.before(moved))
            for cell in range(cells):
                tile = self.state.sram[divmod(cell, self.fabric.cols)]
                chunks = tile[base : base + rounds * height].reshape(rounds, height, CHUNK)
                chunks[:, stays:] = image[run, cell, :, stays:]
            cycles = self._start(row, segment["program"], cells, self.fabric.cols)
            port.ran(cycles, cells * rounds)
            self._count(row["layer"], "port_rows", moved + cells * rounds)
            for cell in range(cells):
                at = base + rounds * height
                found[run, cell] = self._results(cell, self.fabric.cols, at, rounds)
        words = found.reshape(runs, cells, rounds, slots, width).transpose(3, 0, 2, 1, 4)
        for slot, n in enumerate(outputs):
            held[n][frame] = words[slot].reshape(-1)[:extent]

    # -- the host ---------------------------------------------------------------------------------

    def load(self, row: Row, _: list[Ints], __: dict[int, Ints]) -> tuple[Ints, ...]:
        """Integers of a parameter; those of products lie in the images."""
        return (self.integers.get(row["name"], np.zeros(0, dtype=np.int64)),)

    def scan(self, row: Row, given: list[Ints], values: dict[int, Ints]) -> tuple[Ints, ...]:
        """A recurrence, step by step."""
        count = row["inputs"]
        sequences, init = given[:count], given[count:]
        steps, batch = sequences[0].shape[:2]
        states = init or [np.zeros((batch, n), dtype=np.int64) for n in row["states"]]
        emitted = len(row["yield"]) - len(states)
        outs: list[list[Ints]] = [[] for _ in range(emitted)]
        self.loaded = None
        self.held.clear()
        for step in range(steps):
            t = steps - 1 - step if row["reverse"] else step
            inner = dict(values)
            arguments = [s[t] for s in sequences] + list(states)
            inner.update(zip(row["arguments"], arguments, strict=True))
            self._ops(row["body"], inner)
            made = [inner[n] for n in row["yield"]]
            for held, value in zip(outs, made[:emitted], strict=True):
                held.append(value)
            states = made[emitted:]
        ordered = [held[::-1] if row["reverse"] else held for held in outs]
        return (*(np.stack(held) for held in ordered), *states)


class _Product:
    """The runs of one product, with the refills that go on behind them."""

    def __init__(self, host: Host, row: Row) -> None:
        self.host, self.row = host, row
        self.image = host.images[row["image"]]
        self.port = Port(host.fabric)
        self.filled = False
        """Whether a run has got its weights."""

    def of(self, x: Ints) -> Ints:
        """y [vectors, rows] of one vector or of two: the cells of row r read vector r, if any."""
        row, host, cells = self.row, self.host, self.row["cells"]
        host._count(row["layer"], "port_rows", row["chunks"] * cells)
        host._wait(row, self.port.cycles(row["chunks"] * cells))
        at = slice(row["input_row"], row["input_row"] + row["chunks"])
        for cell in range(cells):
            height, col = divmod(cell, row["columns"])
            rows = self._input_rows(x[min(height, len(x) - 1)], row["late"][height])
            host.state.sram[height, col, at] = rows
        y = np.zeros((len(x), row["rows"]), dtype=np.int64)
        done = 0
        for number, band in enumerate(row["bands"]):
            found = [self._run(number, done + run, len(x)) for run in range(band["runs"])]
            done += band["runs"]
            # [run, cell, group, vector, lane] -> rows of the band in their order
            words = np.stack(found).transpose(3, 0, 2, 1, 4).reshape(len(x), -1)
            first = 0
            for start, size in band["rows"]:
                y[:, start : start + size] = words[:, first : first + size]
                first += size
        host._count(row["layer"], f"ideal_macs_{row['bits']}", row["rows"] * x.size)
        return y

    def _run(self, band: int, run: int, vectors: int) -> Ints:
        """Results [cells, groups, vectors, lanes] of a run."""
        row, host, cells = self.row, self.host, self.row["cells"]
        groups, lanes = row["groups"], row["lanes"]
        for part, (first, count) in enumerate(row["parts"]):
            program = row["programs"][str(vectors)][band][part]
            host._load(row, program, (id(row), vectors, band, part))
            self._refill(run, first, count)
            coming = self._turns(run, vectors)
            cycles = host._start(row, program, cells, row["columns"], coming)
            last = part == len(row["parts"]) - 1
            results = row["out_rows"][str(vectors)] * cells if last else 0
            inside = sum(len(one.words) for one in coming)
            self.port.ran(cycles, results, inside)
            host._count(row["layer"], "refill_rows", inside)
            host._count(row["layer"], "port_rows", results)
        at, count = row["result_row"], row["out_rows"][str(vectors)]
        held = [host._results(c, row["columns"], at, count).reshape(-1) for c in range(cells)]
        words: Ints = np.stack(held)[:, : groups * vectors * lanes].astype(np.int64)
        return words.reshape(cells, groups, vectors, lanes)

    def _input_rows(self, x: Ints, late: int) -> npt.NDArray[np.int16]:
        """Rows of the input: the first words belong to the next chunk; every lane has the value."""
        row = self.row
        full = np.zeros(CHUNK * row["chunks"], dtype=np.int64)
        full[: len(x)] = x
        rows = full.reshape(-1, CHUNK).copy()
        rows[:, :late] = np.roll(rows[:, :late], -1, axis=0)
        bits = row["bits"]
        low = rows & ((1 << bits) - 1)
        word = sum(low << (bits * lane) for lane in range(row["lanes"]))
        return np.asarray(word).astype(np.uint16).view(np.int16)

    def _refill(self, run: int, first: int, count: int) -> None:
        """Bring the weights of a run into the tiles, unless they never leave."""
        row, host = self.row, self.host
        if row["resident"] and self.filled:
            host._wait(row, self.port.before(0))
            return
        self.filled = True
        cells, groups, chunks, half = row["cells"], row["groups"], row["chunks"], row["turn"]
        for cell in range(cells):
            held = self.image[run, cell]
            if half:
                # The first half group, below it the row before.
                part = np.concatenate([held[1 : 1 + half], held[:1]])
            else:
                part = held.reshape(groups, chunks, CHUNK)[:, first : first + count]
                part = part.reshape(-1, CHUNK)
            host.state.sram[(*divmod(cell, row["columns"]), slice(0, len(part)))] = part
        rows = cells * len(part)
        host._count(row["layer"], "refill_rows", rows)
        host._wait(row, self.port.before(rows))

    def _turns(self, run: int, vectors: int) -> list[Delivery]:
        """The further half groups of a run, each by the edge at which its tile is read."""
        row, half = self.row, self.row["turn"]
        made = []
        for n, edge in enumerate(row["turns"][str(vectors)], start=1):
            group, second = divmod(n, 2)
            first = 1 + group * row["chunks"] + second * half
            size = row["chunks"] - half if second else half
            for cell in range(row["cells"]):
                tile, col = divmod(cell, row["columns"])
                words = self.image[run, cell, first : first + size]
                made.append(Delivery(edge + col, tile, col, 0, words))
        return made


_OPS: dict[str, Callable[[Host, Row, list[Ints], dict[int, Ints]], tuple[Ints, ...]]] = {
    "load": Host.load,
    "matrix": Host.matrix,
    "vector": Host.vector,
    "scan": Host.scan,
    "slice": lambda _, row, x, __: (x[0][..., row["first"] : row["first"] + row["size"]],),
    "concat": lambda _, __, x, ___: (np.concatenate(x, axis=-1),),
    "select": lambda _, row, x, __: (x[0][row["index"]],),
    "stack": lambda _, __, x, ___: (np.stack(x),),
}
