"""Fills the templates in."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from mohaq.backends.registry import backend_names
from mohaq.compiler.context import CORE_DIALECTS
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import write_text

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
SUFFIX = ".in"
TARGET = "16x16"
"""The target of the written package: NAME-16x16."""


def write_package(name: str, folder: Path) -> list[Path]:
    """Write a package with a backend called `name`; gives its files.

    Raises:
        MohaqError: the name cannot be one of a backend, or the folder exists.
    """
    check_name(name)
    folder = Path(folder)
    if folder.exists():
        raise MohaqError("this folder exists", where=str(folder), hint="give the name of a new one")
    words = {
        "@name@": name,
        "@Name@": "".join(part.capitalize() for part in name.split("_")),
        "@dist@": name.replace("_", "-"),
        "@target@": f"{name.replace('_', '-')}-{TARGET}",
    }
    package = folder / "src" / f"mohaq_{name}"
    made = []
    templates = files("mohaq.tools.new_backend") / "template"
    for part, where in (("", folder), ("package", package), ("tests", folder / "tests")):
        for template in sorted((templates / part).iterdir(), key=lambda t: t.name):
            if not template.name.endswith(SUFFIX):
                continue
            path = where / template.name.removesuffix(SUFFIX)
            if path.name == "target.toml":
                path = package / "targets" / f"{words['@target@']}.toml"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, _filled(template, words))
            made.append(path)
    return made


def check_name(name: str) -> None:
    """Refuse names that cannot be a backend's, a package's and a dialect's at once.

    Raises:
        MohaqError: says why.
    """
    if not NAME.fullmatch(name) or name.endswith("_") or "__" in name:
        raise MohaqError(
            f"'{name}' cannot be the name of a backend",
            hint="use small letters, digits and single underscores, a letter first, at most 32",
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise MohaqError(f"'{name}' is a word of Python; choose another name")
    if name in backend_names():
        raise MohaqError(f"there is a backend '{name}' already; choose another name")
    if name in {dialect.name for dialect in CORE_DIALECTS}:
        raise MohaqError(f"'{name}' is the name of a dialect of mohaq; choose another name")


def _filled(template: Traversable, words: dict[str, str]) -> str:
    text = template.read_text(encoding="utf-8")
    for place, word in words.items():
        text = text.replace(place, word)
    return text
