"""Passes by name, imported on first use.

A pass lives in one module and is an xDSL `ModulePass` whose `name` is the key here. Backends
add theirs through `Backend.passes()`, other packages through the entry-point group `mohaq.passes`
(an entry point names the class); `mohaq.tools.pipelines` merges them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from importlib import import_module

from xdsl.passes import ModulePass, get_pass_option_infos
from xdsl.universe import Universe
from xdsl.utils.arg_spec import ArgSpec, parse_pipeline
from xdsl.utils.exceptions import ArgSpecParseError

from mohaq.compiler.diagnostics import MohaqError, did_you_mean
from mohaq.compiler.plugins import Plugin, installed

PassTable = Mapping[str, Callable[[], type[ModulePass]]]
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
    "fold-batchnorm": "mohaq.passes.fold_batchnorm",
    "lower-to-qnn": "mohaq.passes.lower_to_qnn",
    "recognize-cells": "mohaq.passes.recognize_cells",
    "simplify-integers": "mohaq.passes.simplify_integers",
    "time-first": "mohaq.passes.time_first",
    "uniform": "mohaq.passes.apply_assignment",
}

FROM_XDSL = ("canonicalize", "cse", "dce")
"""Passes of xDSL that are right for our programs as they are."""


def core_passes() -> dict[str, Callable[[], type[ModulePass]]]:
    """All passes of this package and the chosen ones of xDSL."""
    table: dict[str, Callable[[], type[ModulePass]]] = {}
    for name, module in MODULES.items():
        table[name] = _loader(name, module)
    theirs = Universe.get_multiverse().all_passes
    for name in FROM_XDSL:
        table[name] = theirs[name]
    return dict(sorted(table.items()))


def outside_passes() -> tuple[dict[str, Callable[[], type[ModulePass]]], tuple[MohaqError, ...]]:
    """Passes of other packages, imported on first use, and why some cannot have their names.

    A pass that cannot be used raises when its class is asked for. So does a name that two
    packages want.
    """
    found = installed("pass", {*MODULES, *FROM_XDSL})
    table = {name: _outside(plugin) for name, plugin in found.usable.items()}
    for plugin, error in found.refused:
        if plugin.name not in {*MODULES, *FROM_XDSL}:
            table[plugin.name] = _refused(error)
    return table, tuple(error for _, error in found.refused)


def _outside(plugin: Plugin) -> Callable[[], type[ModulePass]]:
    def load() -> type[ModulePass]:
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


def _loader(name: str, module: str) -> Callable[[], type[ModulePass]]:
    def load() -> type[ModulePass]:
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


def build_pipeline(text: str, table: PassTable) -> tuple[ModulePass, ...]:
    """Passes of a textual pipeline, as in `calibrate{data="x.npz"},uniform{bits=8}`.

    Raises:
        MohaqError: syntax error, unknown pass or option, a value of the wrong kind.
    """
    try:
        specs = tuple(parse_pipeline(text))
    except ArgSpecParseError as error:
        raise MohaqError(
            "cannot read this pipeline",
            where=f"'{text}'",
            why=str(error).strip().splitlines()[-1].strip(),
            hint="write a,b or a{option=1 other=x},b; values with dots or slashes need quotes: "
            'calibrate{data="frames.safetensors"}',
        ) from None
    return tuple(build_pass(spec, table) for spec in specs)


def build_pass(spec: ArgSpec, table: PassTable) -> ModulePass:
    """One pass with its options.

    Raises:
        MohaqError: unknown pass or option, a missing option, a value of the wrong kind.
    """
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
    try:
        return kind.from_spec(spec)
    except (ValueError, TypeError) as error:
        types = ", ".join(f"{i.name}: {i.expected_type}" for i in get_pass_option_infos(kind))
        raise MohaqError(
            "a value of the wrong kind", where=where, why=str(error), hint=f"options: {types}"
        ) from None
