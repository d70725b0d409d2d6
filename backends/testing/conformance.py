"""The conformance kit: tests that every backend has to pass.

A backend's test file derives a class and says which backend; pytest finds the tests in it. Each
test states its rule; together they are the invariant of the contract:

    cost in the search = estimate at compile = counters of the run,
    results of the run = the integer interpreter on the legalized program.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from types import FunctionType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mohaq.backends.base import Backend, IllegalAssignment, Options, Target, Workload
from mohaq.backends.outside import checked_costs
from mohaq.backends.testing.alone import called
from mohaq.backends.testing.built import Built, build
from mohaq.backends.testing.family import Drawn, granularity
from mohaq.backends.testing.programs import one_cell, sequences, tensor
from mohaq.backends.testing.rules import KINDS, check_legality, check_obeyed, check_target
from mohaq.backends.testing.sample import (
    FEATURES,
    HIDDEN,
    Sample,
    contents,
    differs,
    drawn_layers,
)
from mohaq.compiler.analysis.storage import calibrated_table
from mohaq.compiler.context import MohaqContext
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.program import Program
from mohaq.passes.calibrate import calibrate

UNKNOWN: dict[str, Any] = {
    "timing": "no-such-timing",
    "numerics": "no-such-numerics",
    "prefer": "no-such-preference",
}


class Conformance:
    """Derive, set `backend`, name the class `Test...`.

    Attributes:
        backend: the object of the entry point.
        target_name: of the machine to test on; empty: the first that comes with the backend.
        kinds: layers that it runs in at least one form; all others it must refuse by name.
        examples: generated programs for each kind.
        words: which emitted files hold words, weights and tables, as glob patterns; those have
            bits flipped, `flips` in each, of which a run notices the share `must_notice`
            (results round small changes away).
        not_in_simulator: modules that `simulate` may not call into, beside the interpreters and
            passes: those with the lowering, the emission, the estimate and the costs.
    """

    backend: ClassVar[Backend]
    target_name: ClassVar[str] = ""
    kinds: ClassVar[tuple[str, ...]] = KINDS
    examples: ClassVar[int] = 6
    words: ClassVar[tuple[str, ...]] = ("*.bin", "*.safetensors")
    flips: ClassVar[int] = 8
    must_notice: ClassVar[float] = 0.5
    not_in_simulator: ClassVar[tuple[str, ...]] = ()

    def target(self) -> Target:
        """The machine to test on."""
        return self.backend.load_target(self.target_name or self.backend.targets()[0])

    def excluded(self, drawn: Drawn) -> bool:  # noqa: ARG002  for those who override it
        """Whether a layer breaks a condition that the backend's documentation states."""
        return False

    def sample(self) -> Sample:
        """A small network of several layers, emitted at the widest widths."""
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        if name not in _SAMPLES:
            _SAMPLES[name] = Sample(self.backend, self.target(), self.kinds)
        return _SAMPLES[name]

    def test_targets_are_found_and_explained(self) -> None:
        """Every shipped target loads; each constant has a unit, a source and a mark."""
        names = self.backend.targets()
        assert names
        assert len(set(names)) == len(names)
        for name in names:
            check_target(self.backend, name, self.backend.load_target(name))
        for wrong in ("no-such-target", "no-such-file.toml"):
            with pytest.raises(MohaqError):
                self.backend.load_target(wrong)

    @pytest.mark.parametrize("kind", KINDS)
    def test_legality_is_total(self, kind: str) -> None:
        """Every layer has groups, or is refused with its name; scales are as legality says."""
        told: Counter[str] = Counter()
        target = self.target()

        @settings(max_examples=3 * self.examples, **RELAXED)
        @given(drawn=drawn_layers(kind))
        def check(drawn: Drawn) -> None:
            told[_check_legality(self.backend, target, drawn)] += 1

        check()
        if kind in self.kinds:
            assert told["legal"], f"'{kind}' is in `kinds`, but every form of it is refused"
        else:
            assert not told["legal"], f"'{kind}' is not in `kinds`, but forms of it are legal"

    @pytest.mark.parametrize("kind", KINDS)
    def test_generated_layers_cost_what_is_estimated(self, kind: str) -> None:
        """Cost = estimate, without running anything."""
        self._over_layers(kind, 2 * self.examples, built_costs)

    @pytest.mark.parametrize("kind", KINDS)
    def test_generated_layers_run_exactly(self, kind: str) -> None:
        """Results = interpreter; counters = estimate = cost."""

        def check(built: Built, drawn: Drawn) -> None:
            with TemporaryDirectory() as folder:
                emitted = built.emit(Path(folder) / "emitted")
                built.require_run_agrees(emitted, built.integers(drawn.inputs))

        self._over_layers(kind, self.examples, check)

    def _over_layers(self, kind: str, examples: int, check: Callable[[Built, Drawn], None]) -> None:
        if kind not in self.kinds:
            return  # `test_legality_is_total` sees that it is refused
        told: Counter[str] = Counter()
        target = self.target()

        @settings(max_examples=examples, **RELAXED)
        @given(
            drawn=drawn_layers(kind), choices=st.lists(st.integers(0, 3), min_size=4, max_size=4)
        )
        def run(drawn: Drawn, choices: list[int]) -> None:
            if self.excluded(drawn) or _check_legality(self.backend, target, drawn) != "legal":
                told["refused"] += 1
                return
            try:
                built = build(self.backend, target, drawn.program, choices)
            except IllegalAssignment:
                told["illegal"] += 1
                return
            check(built, drawn)
            told["ran"] += 1

        run()
        assert told["ran"], f"no generated layer of kind '{kind}' ran: {dict(told)}"

    def test_a_network_runs_exactly(self) -> None:
        """Several layers at mixed widths, another length than the sample's, two sequences."""
        held = self.sample()
        rng = np.random.default_rng(3)
        ran = 0
        for number in range(2):
            choices = [int(n) for n in rng.integers(0, 4, size=8)]
            try:
                built = build(self.backend, self.target(), held.program, choices)
            except IllegalAssignment:
                continue
            inputs = [tensor(rng, 3 + number, 2, FEATURES)]
            with TemporaryDirectory() as folder:
                emitted = built.emit(Path(folder) / "emitted")
                built.require_run_agrees(emitted, built.integers(inputs))
            ran += 1
        assert ran, "no assignment of the network is legal for its data"

    def test_costs_of_many_are_those_of_each(self) -> None:
        """`cost` is one finite number a genome, whatever else it is asked for at once."""
        built = self.sample().built
        model = self.backend.cost_model(built.table.table, built.space, self.target())
        rng = np.random.default_rng(0)
        genomes = rng.integers(0, built.space.upper + 1, size=(12, len(built.space.upper)))
        where = f"backend '{self.backend.name}'"
        for workload in (Workload(1), Workload(7, 3), Workload(5, 2, carried_state=True)):
            found = model.cost(genomes, workload, Options())
            together = checked_costs(found, len(genomes), where)
            for number, genome in enumerate(genomes):
                alone = checked_costs(model.cost(genome, workload, Options()), 1, where)
                assert {n: v[0] for n, v in alone.items()} == {
                    n: v[number] for n, v in together.items()
                }

    def test_emission_is_deterministic(self) -> None:
        """The same program gives the same bytes, in any folder, with no path in them."""
        held = self.sample()
        again = build(self.backend, self.target(), held.program)
        with TemporaryDirectory() as folder:
            other = again.emit(Path(folder) / "a folder of its own")
            first, second = contents(held.folder), contents(other)
            assert first
            assert first.keys() == second.keys()
            for name, content in first.items():
                assert content == second[name], f"'{name}' differs from one emission to the next"
                for path in (held.folder, other):
                    assert str(path).encode() not in second[name], f"'{name}' holds a path"

    def test_lowered_programs_can_be_saved(self) -> None:
        """The lowered program reads back from its file and has the same estimate."""
        built = self.sample().built
        ctx = MohaqContext()
        for dialect in self.backend.dialects():
            ctx.load_dialect(dialect)
        with TemporaryDirectory() as folder:
            built.lowered.save(Path(folder) / "saved")
            back = Program.load(Path(folder) / "saved", ctx)
        back.verify()
        workload = Workload(6, 2)
        estimate = self.backend.estimate(back, self.target(), workload, Options())
        assert estimate == built.estimate(workload)

    def test_the_simulator_stands_alone(self) -> None:
        """`simulate` needs the emitted folder alone: no `.mlir`, no lowering, no interpreter."""
        held = self.sample()
        kind, here = type(self.backend), Path.cwd()
        methods = ("legalize", "lower", "emit", "estimate", "cost_model")
        functions = (getattr(kind, name) for name in methods)
        codes = {f.__code__ for f in functions if isinstance(f, FunctionType)}
        modules = ("mohaq.compiler.interpreters", "mohaq.passes", *self.not_in_simulator)
        with TemporaryDirectory() as folder:
            moved = Path(shutil.copytree(held.folder, Path(folder) / "elsewhere"))
            for path in moved.rglob("*.mlir"):
                path.unlink()
            os.chdir(folder)
            try:
                found, used = called(lambda: held.run(moved), modules, codes)
            finally:
                os.chdir(here)
        assert not used, f"`simulate` uses {', '.join(used)}"
        assert not differs(found, held.found)

    def test_unknown_options_are_refused(self) -> None:
        """No option is ignored: cost, lower, estimate and simulate refuse what they do not know."""
        held = self.sample()
        built, target, backend = held.built, self.target(), self.backend
        model = backend.cost_model(built.table.table, built.space, target)
        for name, value in UNKNOWN.items():
            options = Options(**{name: value})
            asked: dict[str, Callable[[Options], object]] = {
                "cost": lambda o: model.cost(built.genome, Workload(1), o),
                "lower": lambda o: backend.lower(built.legalized.clone(), target, o),
                "estimate": lambda o: backend.estimate(built.lowered, target, Workload(1), o),
                "simulate": lambda o: backend.simulate(held.folder, held.inputs, o),
            }
            for method, ask in asked.items():
                try:
                    ask(options)
                except MohaqError as error:
                    if value not in error.message():
                        pytest.fail(f"{method} does not name the {name}: {error}")
                else:
                    pytest.fail(f"{method} takes {name} = '{value}'")

    def test_wrong_inputs_are_refused(self) -> None:
        """Inputs of another number, kind, shape or range are one clear error each."""
        held = self.sample()
        (x,) = held.inputs
        wrong: dict[str, list[npt.NDArray[Any]]] = {
            "none": [],
            "two": [x, x],
            "real numbers": [x.astype(np.float32)],
            "fewer channels": [x[..., :-1]],
            "another rank": [x[0]],
            "too large": [x + (1 << 40)],
        }
        for name, inputs in wrong.items():
            try:
                self.backend.simulate(held.folder, inputs, Options())
            except MohaqError:
                continue
            pytest.fail(f"`simulate` takes wrong inputs: {name}")

    def test_changed_words_are_noticed(self) -> None:
        """A flipped bit changes results or counters, or is refused; never another exception."""
        held = self.sample()
        names = sorted({p for glob in self.words for p in held.folder.rglob(glob) if p.is_file()})
        assert names, f"no emitted file is like {', '.join(self.words)}; set `words`"
        rng = np.random.default_rng(1)
        noticed = 0
        with TemporaryDirectory() as folder:
            for path in names:
                damaged = Path(shutil.copytree(held.folder, Path(mkdtemp(dir=folder)) / "damaged"))
                victim = damaged / path.relative_to(held.folder)
                content = path.read_bytes()
                mine = 0
                written = np.flatnonzero(np.frombuffer(content, np.uint8))  # zeros may be padding
                for place in rng.choice(written, size=self.flips):
                    changed = bytearray(content)
                    changed[place] ^= 1 << int(rng.integers(0, 8))
                    victim.write_bytes(bytes(changed))
                    mine += _noticed(held, damaged)
                victim.unlink()
                assert _noticed(held, damaged), f"nothing reads '{path.name}'"
                assert mine, f"no flipped bit of '{path.name}' is noticed"
                noticed += mine
        share = noticed / (len(names) * self.flips)
        assert share >= self.must_notice, f"only {share:.0%} of the flipped bits are noticed"

    def test_chunks_equal_the_whole(self) -> None:
        """Given its last states, a program goes on where it stopped."""
        for kind in self.kinds:
            if kind == "linear":
                continue
            program = one_cell(kind, 5, states=True, gain=0.9)
            rng = np.random.default_rng(2)
            calibrate(program, sequences(2, features=FEATURES))
            try:
                built = build(self.backend, self.target(), program)
            except MohaqError:
                continue
            with TemporaryDirectory() as folder:
                emitted = built.emit(Path(folder) / "emitted")
                real: list[npt.NDArray[Any]] = [tensor(rng, 5, 2, FEATURES)]
                real += [np.zeros((1, 2, HIDDEN))] * (len(program.entry.args) - 1)
                x, *states = built.integers(real)
                whole = built.simulate(emitted, [x, *states]).outputs
                first = built.simulate(emitted, [x[:2], *states]).outputs
                second = built.simulate(emitted, [x[2:], *first[1:]]).outputs
            np.testing.assert_array_equal(np.concatenate([first[0], second[0]]), whole[0])
            for ours, theirs in zip(second[1:], whole[1:], strict=True):
                np.testing.assert_array_equal(ours, theirs)
            return
        pytest.skip("no recurrent layer takes its states from outside")


def built_costs(built: Built, drawn: Drawn) -> None:
    """Costs of a drawn layer for the workload of its inputs."""
    steps, batch = drawn.inputs[0].shape[:2]
    built.require_costs_agree(Workload(steps, batch, carried_state=len(drawn.inputs) > 1))


_SAMPLES: dict[str, Sample] = {}
"""One for each class: it takes seconds to make."""

RELAXED: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    # Programs are small as they are drawn; shrinking a failure would compile for minutes.
    "phases": (Phase.explicit, Phase.reuse, Phase.generate),
    "report_multiple_bugs": False,
}


def _check_legality(backend: Backend, target: Target, drawn: Drawn) -> str:
    """`legal` or `refused`; calibrates the drawn program."""
    x = drawn.inputs[0]
    calibrate(drawn.program, [x[:, 0], x[:, -1]], granularity(x.size))
    table = calibrated_table(drawn.program)
    for layer in table.table:
        try:
            legal = backend.legality(layer, target)
        except MohaqError as error:
            if layer.name not in error.message():
                pytest.fail(f"the refusal names no layer: {error}")
            return "refused"
        check_legality(layer, legal)
        check_obeyed(backend.obeyed(table, target), layer, legal)
    space = backend.space(table.table, target)
    for genome in (space.upper, 0 * space.upper):
        widths = {s: int(v[0]) for s, v in space.widths(genome).items()}
        assert space.encode(widths).tolist() == genome.tolist()
        backend.require_legal(table.table, target, widths)
    return "legal"


def _noticed(held: Sample, folder: Path) -> bool:
    try:
        return differs(held.run(folder), held.found)
    except MohaqError:
        return True
