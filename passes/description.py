"""What a pass says about itself: its docstring and its options.

`read_passes` reads both from the source, so that a listing imports neither numpy nor xDSL nor what
the passes stand on. It understands what passes are written in: a class whose base is `ModulePass`,
fields with annotations, defaults that are constants or names of constants. What it does not
understand it refuses (`UnreadableSource`); then `describe` asks the imported class.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from xdsl.passes import ModulePass

BASE = "ModulePass"


class UnreadableSource(Exception):  # noqa: N818  no error: the class is asked instead
    """The source is not there, or says something that only Python understands."""


@dataclass(frozen=True)
class Option:
    """One option; `default` is written as in a pipeline, None where the option is required."""

    name: str
    kind: str
    default: str | None

    def __str__(self) -> str:
        return f"{self.name}: {self.kind}" + (
            " (required)" if self.default is None else f" = {self.default}"
        )


@dataclass(frozen=True)
class Description:
    """A pass without its code."""

    name: str
    module: str
    doc: str
    options: tuple[Option, ...]

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return self.doc.partition("\n")[0]


def describe(kind: type[ModulePass], name: str) -> Description:
    """Description of an imported pass."""
    options = []
    for field in fields(kind):
        if field.name == "name" or not field.init:
            continue
        text = field.type if isinstance(field.type, str) else inspect.formatannotation(field.type)
        default = None
        if field.default is not MISSING:
            default = as_written(field.default)
        elif field.default_factory is not MISSING:
            default = as_written(field.default_factory())
        options.append(Option(field.name, text, default))
    doc = kind.__dict__.get("__doc__") or ""
    if doc.startswith(f"{kind.__name__}("):  # a dataclass without a docstring makes one up
        doc = ""
    return Description(name, kind.__module__, inspect.cleandoc(doc), tuple(options))


def as_written(value: Any) -> str:
    """A value as it stands in a pipeline: true, 8, 2,4,8, "text"."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"' if not value.replace("-", "").isalnum() else value
        case tuple():
            return ",".join(map(as_written, value)) or "none"
        case None:
            return "none"
    return str(value)


def read_passes(module: str) -> dict[str, Description]:
    """Passes that a module defines, by name, from its source.

    Raises:
        UnreadableSource: there is no source, or a pass is written in another way.
    """
    tree = _tree(module)
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and (name := _pass_name(node)) is not None:
            if [_last_word(base) for base in node.bases] != [BASE]:
                raise UnreadableSource(f"{module}.{node.name} inherits from another class")
            doc = ast.get_docstring(node) or ""
            found[name] = Description(name, module, doc, tuple(_options(node, module)))
    return found


def _options(node: ast.ClassDef, module: str) -> Iterator[Option]:
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        kind = ast.unparse(item.annotation)
        if kind.startswith("ClassVar"):
            continue
        default = None if item.value is None else as_written(_value(item.value, module))
        yield Option(item.target.id, kind, default)


def _pass_name(node: ast.ClassDef) -> str | None:
    for item in node.body:
        match item:
            case (
                ast.AnnAssign(target=ast.Name("name"), value=ast.Constant(str(name)))
                | ast.Assign(targets=[ast.Name("name")], value=ast.Constant(str(name)))
            ):
                return name
    return None


def _last_word(node: ast.expr) -> str:
    return ast.unparse(node).rpartition(".")[2]


def _value(node: ast.expr, module: str, depth: int = 0) -> Any:
    """A default: a literal, or the constant that a name stands for, here or where it comes from."""
    if not isinstance(node, ast.Name):
        try:
            return ast.literal_eval(node)
        except ValueError:
            raise UnreadableSource(f"{module}: {ast.unparse(node)} is no constant") from None
    if depth > 8:
        raise UnreadableSource(f"{module}: {node.id} is imported in a circle")
    for item in _tree(module).body:
        match item:
            case (
                ast.Assign(targets=[ast.Name(target)], value=ast.expr() as value)
                | ast.AnnAssign(target=ast.Name(target), value=ast.expr() as value)
            ) if target == node.id:
                return _value(value, module, depth + 1)
            case ast.ImportFrom(module=str(origin), level=0):
                for alias in item.names:
                    if (alias.asname or alias.name) == node.id:
                        return _value(ast.Name(alias.name), origin, depth + 1)
    raise UnreadableSource(f"{module}: {node.id} is no constant")


def _tree(module: str) -> ast.Module:
    try:
        return ast.parse(_source(module).read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableSource(f"{module}: {error}") from None


def _source(module: str) -> Path:
    """File of a module, found without importing it or its packages."""
    where: Any = None
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        spec = _spec(".".join(parts[:count]), where)
        where = spec.submodule_search_locations
        if where is None and count < len(parts):
            raise UnreadableSource(f"{spec.name} is no package")
    assert spec is not None
    if not (spec.origin or "").endswith(".py"):
        raise UnreadableSource(f"{module} has no source")
    return Path(spec.origin or "")


def _spec(name: str, where: Any) -> ModuleSpec:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = find(name, where) if find else None
        if spec is not None:
            return spec
    raise UnreadableSource(f"there is no module {name}")
