"""A program: a module and its parameters. Saved, it is one folder (DESIGN D2)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp, StringAttr, TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError, VerifyException

from mohaq.compiler.context import MohaqContext, store
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.dialects.nn import LayerOp
from mohaq.compiler.dialects.param import DeclareOp, LoadOp
from mohaq.compiler.dialects.quant import GridAttr, row_parameters
from mohaq.compiler.files import write_text
from mohaq.compiler.parameters import ParameterStore, check_array, tensor_type

if TYPE_CHECKING:
    import onnx
    from torch import fx

    from mohaq.compiler.onnx_export import Form

MODULE_FILE = "program.mlir"
PARAMETER_FILE = "parameters.safetensors"
ENTRY = "main"
GRID_KEY = "quant.grid"
"""Name of the attribute that gives an argument or result of the entry its grid."""

NAME_KEY = "nn.name"
"""Name of the attribute that keeps an argument's or result's name in the user's model."""


@dataclass
class Program:
    """A module with one entry function `main`, and the arrays its parameters name."""

    module: ModuleOp
    parameters: ParameterStore

    def context(self, base_dir: Path | None = None) -> MohaqContext:
        """A context over this program's parameters."""
        return MohaqContext(parameters=self.parameters, base_dir=base_dir or Path.cwd())

    @property
    def entry(self) -> FuncOp:
        """The function `main`.

        Raises:
            MohaqError: there is none.
        """
        for op in self.module.body.block.ops:
            if isinstance(op, FuncOp) and op.sym_name.data == ENTRY:
                return op
        raise MohaqError(f"the program has no function '{ENTRY}'")

    def layers(self) -> Iterator[LayerOp]:
        """The layer ops of `main`, in program order."""
        for op in self.entry.body.block.ops:
            if isinstance(op, LayerOp):
                yield op

    def clone(self) -> Program:
        """An independent copy (the arrays are shared: they are read-only)."""
        return Program(self.module.clone(), self.parameters.copy())

    def text(self) -> str:
        """The module as text."""
        return str(self.module) + "\n"

    def declared(self) -> dict[str, DeclareOp]:
        """{name: declaration} of all parameters."""
        return {
            op.sym_name.data: op for op in self.module.body.block.ops if isinstance(op, DeclareOp)
        }

    def declare(self, name: str, values: npt.NDArray[Any]) -> tuple[str, TensorType[Attribute]]:
        """Add a float32 parameter; gives its name, numbered if it was taken, and its type."""
        taken = self.declared()
        found, number = name, 1
        while found in taken:
            number += 1
            found = f"{name}_{number}"
        array = np.asarray(values, dtype=np.float32, order="C")
        kind = tensor_type(array)
        self.parameters[found] = array
        top = self.module.body.block
        assert top.first_op is not None
        top.insert_op_before(DeclareOp(found, kind), top.first_op)
        return found, kind

    def used_parameters(self) -> set[str]:
        """Parameters that an op loads, or that a layer's grids or clips name."""
        used: set[str] = set()
        for op in self.module.walk():
            if isinstance(op, LoadOp):
                used.add(op.symbol)
            elif isinstance(op, LayerOp):
                used |= row_parameters(op.attributes)
        return used

    def prune_parameters(self) -> None:
        """Drop declarations and arrays that nothing uses."""
        used = self.used_parameters()
        for name, op in self.declared().items():
            if name not in used:
                self.module.body.block.erase_op(op)
        for name in list(self.parameters):
            if name not in used:
                del self.parameters[name]

    def seal(self) -> None:
        """Write the content hash of every parameter into its declaration."""
        for name, op in self.declared().items():
            op.attributes["sha256"] = StringAttr(self.parameters.sha256(name))

    def verify(self) -> None:
        """Verify the IR, the uniqueness of layer names and the parameters' data.

        Raises:
            MohaqError: something does not hold.
        """
        verify_module(self.module)
        seen: set[str] = set()
        for layer in self.layers():
            if layer.label in seen:
                raise MohaqError(f"two layers are called '{layer.label}'")
            seen.add(layer.label)
            for name in sorted(row_parameters(layer.attributes) - set(self.declared())):
                raise MohaqError(f"layer '{layer.label}' has no parameter '{name}'")
        for name, op in self.declared().items():
            check_array(name, self.parameters[name], op.type)
            said = op.sha256.data if op.sha256 else None
            if said is not None and said != self.parameters.sha256(name):
                raise MohaqError(
                    "the data is not what this program was saved with",
                    where=f"parameter '{name}'",
                    why=f"sha256 {self.parameters.sha256(name)[:12]}, recorded {said[:12]}",
                )

    def to_fx(self) -> fx.GraphModule:
        """The `nn` program as a runnable torch.fx graph with `node.meta["quant"]`."""
        from mohaq.compiler.fx import to_fx

        return to_fx(self)

    def to_onnx(self, form: Form = "float") -> onnx.ModelProto:
        """The program as an ONNX model; annotations stand in the nodes' metadata.

        Args:
            form: `float`, `qdq`, `scan` (an `nn` program) or `integer` (a `qnn` program); see
                docs/onnx.md.

        Raises:
            MohaqError: the program has no such form.
        """
        from mohaq.compiler.onnx_export import to_onnx

        return to_onnx(self, form)

    def __repr__(self) -> str:
        layers = ", ".join(op.label for op in self.layers())
        return f"Program({layers or 'no nn layers'}; {len(self.parameters)} parameters)"

    def _repr_html_(self) -> str:
        """For notebooks: the layers as a table."""
        from mohaq.compiler.notebook.program import program_html

        return program_html(self)

    def content_hash(self) -> str:
        """Hash of the module and all parameters (sha256); the same before and after saving."""
        bare = Program(self.module.clone(), self.parameters)
        for op in bare.declared().values():
            op.attributes.pop("sha256", None)
        digest = hashlib.sha256(bare.text().encode())
        for name in sorted(self.declared()):
            digest.update(f"{name}={self.parameters.sha256(name)};".encode())
        return digest.hexdigest()

    def save(self, folder: str | Path) -> None:
        """Write `program.mlir` and `parameters.safetensors` into a folder."""
        self.seal()
        self.verify()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.parameters.save(folder / PARAMETER_FILE, self.declared())
        write_text(folder / MODULE_FILE, self.text())

    @staticmethod
    def load(path: str | Path, context: MohaqContext | None = None) -> Program:
        """Load a saved folder, or a lone `.mlir` file with its parameters beside it.

        Raises:
            MohaqError: missing or malformed files, data that do not fit the program.
        """
        path = Path(path)
        source = path / MODULE_FILE if path.is_dir() else path
        if not source.is_file():
            raise MohaqError(f"no program here (expected {source.name})", where=str(path))
        data = source.parent / PARAMETER_FILE
        stored = ParameterStore.load(data) if data.is_file() else ParameterStore()
        ctx = context or MohaqContext()
        ctx.parameters = stored
        try:
            text = source.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise MohaqError("cannot read this file", where=str(source), why=str(error)) from None
        program = Program(parse_module(text, ctx, str(source)), stored)
        program.verify()
        return program


def parse_module(text: str, ctx: MohaqContext, name: str) -> ModuleOp:
    """Parse a module, turning parser errors into one message.

    Raises:
        MohaqError: syntax or type error, with the place in the text.
    """
    try:
        return Parser(ctx, text, name).parse_module()
    except (ParseError, VerifyException) as error:
        raise MohaqError("cannot parse this program", where=name, why=str(error).strip()) from None
    except (ValueError, KeyError, IndexError, RecursionError) as error:
        # xDSL reports some malformed attributes this way, without a place.
        raise MohaqError("cannot parse this program", where=name, why=str(error)) from None


def verify_module(module: ModuleOp) -> None:
    """Run the verifier, turning its error into one message.

    Raises:
        MohaqError: the module is not valid.
    """
    try:
        module.verify()
    except VerifyException as error:
        raise MohaqError("the program is not valid", why=str(error).strip()) from None


def argument_grids(entry: FuncOp) -> list[GridAttr | None]:
    """Grid of each argument of the entry, None where it has none."""
    return _grids(entry.arg_attrs.data if entry.arg_attrs else (), len(entry.args))


def result_grids(entry: FuncOp) -> list[GridAttr | None]:
    """Grid of each result of the entry, None where it has none."""
    held = entry.res_attrs.data if entry.res_attrs else ()
    return _grids(held, len(entry.function_type.outputs.data))


def argument_names(entry: FuncOp) -> list[str | None]:
    """Name of each argument in the user's model, None where it has none."""
    return _names(entry.arg_attrs.data if entry.arg_attrs else (), len(entry.args))


def result_names(entry: FuncOp) -> list[str | None]:
    """Name of each result in the user's model, None where it has none."""
    held = entry.res_attrs.data if entry.res_attrs else ()
    return _names(held, len(entry.function_type.outputs.data))


def _names(held: Sequence[Attribute], count: int) -> list[str | None]:
    found: list[str | None] = []
    for one in held:
        name = one.data.get(NAME_KEY) if isinstance(one, DictionaryAttr) else None
        found.append(name.data if isinstance(name, StringAttr) else None)
    return found or [None] * count


def _grids(held: object, count: int) -> list[GridAttr | None]:
    found: list[GridAttr | None] = []
    for one in held if isinstance(held, tuple) else ():
        grid: Attribute | None = one.data.get(GRID_KEY) if isinstance(one, DictionaryAttr) else None
        found.append(grid if isinstance(grid, GridAttr) else None)
    return found or [None] * count


def take_over(ctx: Context, module: ModuleOp, made: Program) -> None:
    """Let the module and parameters that a pass was given be those of another program.

    Raises:
        MohaqError: the context has no parameters.
    """
    held = store(ctx)
    old, new = module.body.block, made.module.body.block
    for op in reversed(list(old.ops)):
        old.erase_op(op, safe_erase=False)
    for op in list(new.ops):
        new.detach_op(op)
        old.add_op(op)
    for name in list(held):
        del held[name]
    for name in made.parameters:
        held[name] = made.parameters[name]
