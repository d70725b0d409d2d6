"""Where models and data come from on the command line: built-in names, files, Python objects."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mohaq.compiler.data import Dataset, load_dataset
from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.frontends import load
from mohaq.compiler.program import Program

SPEECH = {"speech": "default", "speech-lstm": "lstm", "speech-gru": "gru"}
"""Speech models by the name of their network; all three share the data `speech:*`."""

MODELS = (*SPEECH, "vowels")
SPLITS = {"speech": ("calibration", "validation", "test"), "vowels": ("train", "test")}
CALIBRATION = {**dict.fromkeys(SPEECH, "speech:calibration"), "vowels": "vowels:train"}
"""Data that a built-in model is calibrated on when the user names none."""

VALIDATION = {**dict.fromkeys(SPEECH, "speech:validation"), "vowels": "vowels:train"}
"""Data that a built-in model is searched on when the user names none."""

CALIBRATION_LIMIT = 80
WIDTHS = (2, 4, 8, 16)

Tell = Callable[[str], None]


def load_model(name: str, constants: Mapping[str, Any] | None = None) -> Program:
    """A program from a built-in name, a path, or `package:function`.

    The function is called without arguments and returns (module, example inputs). `constants`
    fixes inputs of an ONNX model.

    Raises:
        MohaqError: nothing of that name; a model that cannot be imported.
    """
    path = Path(name)
    if path.suffix == ".onnx":
        return load(path, constants=constants)
    if constants:
        raise MohaqError("only inputs of an ONNX file can be set", where=name)
    if name in MODELS:
        return _built_in(name)
    if path.exists() or path.suffix or "/" in name:
        return load(path)
    if ":" in name:
        module, inputs = _call(name)
        return load(module, inputs)
    raise MohaqError(
        f"no model '{name}'",
        hint=f"{did_you_mean(name, MODELS)} (or the path of an .onnx, .pt2, .mlir or program folder, "
        "or package:function)",
    )


def _built_in(name: str) -> Program:
    import torch

    if name in SPEECH:
        from mohaq.tools.speech.default_task import load_default_model

        return load(load_default_model(SPEECH[name]), (torch.zeros(8, 2, 23),))
    from mohaq.tools.tiny.japanese_vowels import load_vowels_model

    return load(load_vowels_model(), (torch.zeros(8, 2, 12),))


def _call(name: str) -> tuple[Any, Any]:
    import torch

    place, _, attribute = name.partition(":")
    # The user's own code beside them, as `python -m` would find it.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(place), attribute)
    except Exception as error:  # the user's module may fail in any way
        why = f"{type(error).__name__}: {error}"
        raise MohaqError(f"cannot import '{name}'", why=why) from error
    try:
        made = function()
    except Exception as error:  # so may the function
        why = f"{type(error).__name__}: {error}"
        raise MohaqError(
            f"'{name}' failed", why=why, hint="MOHAQ_TRACEBACK=1 shows where"
        ) from error
    match made:
        case (torch.nn.Module() as module, tuple() as inputs):
            return module, inputs
    raise MohaqError(
        f"'{name}' must return (torch.nn.Module, tuple of example inputs)",
        why=f"it returned {_kind(made)}",
    )


def _kind(value: object) -> str:
    inner = f" of {', '.join(type(v).__name__ for v in value)}" if isinstance(value, tuple) else ""
    return type(value).__name__ + inner


def load_data(name: str) -> Dataset:
    """A data set from a built-in name (`speech:test`) or a path.

    Raises:
        MohaqError: nothing of that name; malformed data.
    """
    task, _, split = name.partition(":")
    if task in SPLITS and not Path(name).exists():
        if split not in SPLITS[task]:
            known = [f"{task}:{s}" for s in SPLITS[task]]
            raise MohaqError(f"no data '{name}'", hint=did_you_mean(name, known))
        if task == "speech":
            from mohaq.tools.speech.default_task import load_default_split

            return load_default_split(split)
        from mohaq.tools.tiny.japanese_vowels import load_vowels

        return load_vowels(split)
    if not Path(name).exists():
        known = [f"{t}:{s}" for t, splits in SPLITS.items() for s in splits]
        raise MohaqError(
            f"no data '{name}'",
            hint=f"a folder or file of .npz or .safetensors, or one of {', '.join(known)}",
        )
    return load_dataset(name)


HELD_OUT = 5
"""Every so many sequences one is kept for validation when none is named."""


def held_out(data: Dataset) -> tuple[Dataset, Dataset]:
    """Sequences to learn from, and every fifth to choose by.

    Raises:
        MohaqError: too few.
    """
    if len(data) < HELD_OUT:
        raise MohaqError(f"{len(data)} sequences are too few to keep some for validation")
    held = [i for i in range(len(data)) if i % HELD_OUT == HELD_OUT - 1]
    kept = [i for i in range(len(data)) if i % HELD_OUT != HELD_OUT - 1]
    return data[kept], data[held]


def is_calibrated(program: Program, widths: Sequence[int] = ()) -> bool:
    """Whether every searched slot that a target may run has clips (for these widths)."""
    from mohaq.compiler.driver.device import integer_check
    from mohaq.compiler.partition import partition

    core = partition(program, integer_check).core
    return all(
        set(widths) <= set(clips := op.clips(slot)) and bool(clips)
        for op in core.layers()
        for slot in op.SEARCHED_SLOTS
    )


def calibrate_on(
    program: Program,
    data: Dataset,
    widths: Sequence[int] = WIDTHS,
    progress: Callable[[int, int], None] | None = None,
    clip: str | None = None,
) -> None:
    """Calibrate in place on at most 80 sequences spread over a data set.

    `clip` is a method, as in `--clip` (default: MOHAQ's).
    """
    from mohaq.compiler.clips import CalibrationSettings, ClipRule
    from mohaq.compiler.driver import calibrate

    rule = ClipRule() if clip is None else ClipRule.parse(clip)
    chosen = data.subset(min(len(data), CALIBRATION_LIMIT))
    settings = CalibrationSettings(
        tuple(sorted({*WIDTHS, *widths})), rule.method, percentile=rule.percentile
    )
    calibrate(program, chosen.inputs, settings, progress=progress)


def calibrated_model(
    name: str, data: str | None, tell: Tell, *, widths: Sequence[int] = (), clip: str | None = None
) -> Program:
    """A model ready for quantization: calibrated already, or on the data given.

    Raises:
        MohaqError: an uncalibrated model of the user's without data; a clip method for a
            calibrated one without data.
    """
    tell("load the model")
    program = load_model(name)
    make_calibrated(
        program, name, data, tell, widths=widths, clip=clip, default=CALIBRATION.get(name)
    )
    return program


def make_calibrated(
    program: Program,
    name: str,
    data: str | None,
    tell: Tell,
    *,
    widths: Sequence[int] = (),
    clip: str | None = None,
    default: str | None = None,
) -> None:
    """Calibrate a program in place, if it is not or a clip method or data are given.

    Args:
        program: as loaded.
        name: of the model, for messages.
        data: a built-in split or a path.
        tell: told that it calibrates.
        widths: that clips are needed for.
        clip: a method, as in `--clip`.
        default: data that a built-in model comes with.

    Raises:
        MohaqError: as `calibrated_model`.
    """
    if data is None and clip is None and is_calibrated(program, widths):
        return
    source = data or default
    if source is None:
        known = is_calibrated(program)
        bits = ", ".join(str(w) for w in widths)
        if known and clip is not None:
            raise MohaqError("a clip method needs --data to find the clips on", where=name)
        raise MohaqError(
            f"the model has no clips for {bits} bits" if known else "the model is not calibrated",
            where=name,
            hint="give --data (calibration sequences), or import it with --data first",
        )
    tell("calibrate")
    calibrate_on(program, load_data(source), widths, clip=clip)


def model_name(model: str) -> str:
    """What artefacts call a model: the last part of a path, so that they are the same elsewhere."""
    if model in MODELS or not (Path(model).exists() or "/" in model):
        return model
    return os.path.basename(os.path.abspath(model))  # noqa: PTH100, PTH119  keeps links, drops ..
