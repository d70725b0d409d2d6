"""Passes by name, imported on first use.

A pass lives in one module and is an xDSL `ModulePass` whose `name` is the key here. Backends
add theirs through `Backend.passes()`, other packages through the entry-point group `mohaq.passes`
(an entry point names the class); `mohaq.tools.catalogue` merges them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_type_hints

from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.plugins import Plugin, installed
from mohaq.passes.description import as_written, describe

if TYPE_CHECKING:
    from xdsl.passes import ModulePass
    from xdsl.utils.arg_spec import ArgSpec

PassTable = Mapping[str, Callable[[], "type[ModulePass]"]]
"""{name: function that imports and returns the class}."""

MODULES: Mapping[str, str] = {
    "absorb-fake-quantize": "mohaq.passes.absorb_fake_quantize",
    "apply-assignment": "mohaq.passes.apply_assignment",
    "approximate-nonlinear": "mohaq.passes.approximate_nonlinear",
    "bias-correct": "mohaq.passes.bias_correct",
    "calibrate": "mohaq.passes.calibrate",
    "check-ranges": "mohaq.passes.check_ranges",
    "conv-to-linear": "mohaq.passes.conv_to_linear",
    "equalize": "mohaq.passes.equalize",
    "fold": "mohaq.passes.fold",
    "fold-batchnorm": "mohaq.passes.fold_batchnorm",
    "lower-to-qnn": "mohaq.passes.lower_to_qnn",
    "recognize-cells": "mohaq.passes.recognize_cells",
    "simplify-integers": "mohaq.passes.simplify_integers",
    "time-first": "mohaq.passes.time_first",
    "uniform": "mohaq.passes.apply_assignment",
}

FROM_XDSL: Mapping[str, tuple[str, str]] = {
    "canonicalize": (
        "xdsl.transforms.canonicalize",
        (
            "Apply the canonicalization patterns of all operations until none matches.\n\n"
            "Ours remove moves that cancel, biases of zeros and clamps that do nothing."
        ),
    ),
    "cse": (
        "xdsl.transforms.common_subexpression_elimination",
        "Keep one of several operations that compute the same from the same operands.",
    ),
    "dce": (
        "xdsl.transforms.dead_code_elimination",
        "Remove operations without effects whose results nobody uses.",
    ),
}
"""Passes of xDSL that are right for our programs as they are, and what they do."""


def core_modules() -> dict[str, str]:
    """{name: module} of all passes of this package and the chosen ones of xDSL."""
    theirs = {name: module for name, (module, _doc) in FROM_XDSL.items()}
    return dict(sorted({**MODULES, **theirs}.items()))


def core_passes() -> dict[str, Callable[[], type[ModulePass]]]:
    """All passes of this package and the chosen ones of xDSL."""
    return {name: loader(name, module) for name, module in core_modules().items()}


def outside_passes(
    shipped: Collection[str] = (),
) -> tuple[dict[str, Callable[[], type[ModulePass]]], tuple[MohaqError, ...]]:
    """Passes of other packages, imported on first use, and why some cannot have their names.

    A pass that cannot be used raises when its class is asked for. So does a name that two
    packages want.

    Args:
        shipped: names that are taken beside those of the core.
    """
    taken = {*MODULES, *FROM_XDSL, *shipped}
    found = installed("pass", taken)
    table = {name: _outside(plugin) for name, plugin in found.usable.items()}
    for plugin, error in found.refused:
        if plugin.name not in taken:
            table[plugin.name] = _refused(error)
    return table, tuple(error for _, error in found.refused)


def _outside(plugin: Plugin) -> Callable[[], type[ModulePass]]:
    def load() -> type[ModulePass]:
        from xdsl.passes import ModulePass

        found = plugin.load()
        if not (isinstance(found, type) and issubclass(found, ModulePass)):
            raise MohaqError(
                f"'{plugin.entry.value}' is no pass",
                where=plugin.where,
                hint="the entry point names a class derived from xdsl.passes.ModulePass",
            )
        if (name := getattr(found, "name", None)) != plugin.name:
            raise MohaqError(
                f"'{plugin.entry.value}' calls itself '{name}'",
                where=plugin.where,
                hint="the name of the class and of the entry point must be the same",
            )
        return found

    return load


def _refused(error: MohaqError) -> Callable[[], type[ModulePass]]:
    def load() -> type[ModulePass]:
        raise error

    return load


def loader(name: str, module: str) -> Callable[[], type[ModulePass]]:
    """A function that imports a module and gives its pass of that name."""

    def load() -> type[ModulePass]:
        from xdsl.passes import ModulePass

        for value in vars(import_module(module)).values():
            if (
                isinstance(value, type)
                and issubclass(value, ModulePass)
                and value.__module__ == module
                and getattr(value, "name", None) == name
            ):
                return value
        raise MohaqError(f"module {module} defines no pass called '{name}'")

    return load


BARE = re.compile(r'"(?:\\.|[^"\\])*"|(?<=[=,])(?=[^\s,{}"]*[./~:\\])[^\s,{}"\[\]]+')
"""A quoted value, or a value with dots or slashes that should be."""


def quoted(text: str) -> str:
    """A pipeline with quotes around paths, which xDSL's syntax wants: a{file=x/y.json}."""

    def one(found: re.Match[str]) -> str:
        word = found.group()
        if word.startswith('"') or _is_number(word):
            return word
        return '"' + word.replace("\\", "\\\\") + '"'

    return BARE.sub(one, text)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def build_pipeline(text: str, table: PassTable) -> tuple[ModulePass, ...]:
    """Passes of a textual pipeline, as in `calibrate{data=x.npz},uniform{bits=8}`.

    Raises:
        MohaqError: syntax error, unknown pass or option, a value of the wrong kind.
    """
    if not text.strip():
        return ()
    from xdsl.utils.arg_spec import parse_pipeline
    from xdsl.utils.exceptions import ArgSpecParseError

    try:
        specs = tuple(parse_pipeline(quoted(text)))
    except ArgSpecParseError as error:
        raise MohaqError(
            "cannot read this pipeline",
            where=f"'{text}'",
            why=str(error).strip().splitlines()[-1].strip(),
            hint="write a,b or a{option=1 other=x},b; values with spaces, commas or braces need "
            'quotes: calibrate{data="my frames.npz"}',
        ) from None
    return tuple(build_pass(spec, table) for spec in specs)


def build_pass(spec: ArgSpec, table: PassTable) -> ModulePass:
    """One pass with its options.

    Raises:
        MohaqError: unknown pass or option, a missing option, a value of the wrong kind.
    """
    from xdsl.utils.arg_spec import ArgSpec

    if spec.name not in table:
        raise MohaqError(f"no pass '{spec.name}'", hint=did_you_mean(spec.name, table))
    kind = table[spec.name]()
    given = spec.normalize_parameter_names().parameters
    known = {field.name: field for field in dataclasses.fields(kind) if field.init}
    where = f"pass '{spec.name}'"
    for option in given:
        if option not in known:
            hint = did_you_mean(option, known) if known else "it takes no options"
            raise MohaqError(f"no option '{option}'", where=where, hint=hint)
    if missing := sorted(kind.required_fields() - set(given)):
        raise MohaqError(f"option '{missing[0]}' is required", where=where)
    types = get_type_hints(kind)
    values = {name: _of_kind(value, types[name]) for name, value in given.items()}
    about = {option.name: option for option in describe(kind, spec.name).options}
    for option, value in values.items():
        if not _fits(value, types[option]):
            said = ",".join(map(as_written, value)) or "nothing"
            raise MohaqError(
                f"option '{option}' takes {about[option].kind}, got {said}",
                where=where,
                hint=f"options: {', '.join(map(str, about.values()))}",
            )
    try:
        return kind.from_spec(ArgSpec(spec.name, values))
    except (ValueError, TypeError) as error:
        raise MohaqError("a value of the wrong kind", where=where, why=str(error)) from None


def _of_kind(value: tuple[Any, ...], wanted: object) -> tuple[Any, ...]:
    """Whole numbers where fractions are wanted are fractions: limit=8."""
    if wanted in (float, float | None, tuple[float, ...]):
        return tuple(float(v) if type(v) is int else v for v in value)
    return value


def _fits(value: tuple[Any, ...], wanted: Any) -> bool:
    """Whether xDSL will take it; a truth value is no number, which xDSL does not mind."""
    from xdsl.utils.hints import isa

    if any(type(v) is bool for v in value) and "bool" not in str(wanted):
        return False
    if not value:
        return isa(None, wanted)
    return (len(value) == 1 and isa(value[0], wanted)) or isa(value, wanted)
