"""How onnxruntime has to run an exported model, as a file beside it, and sessions that obey it.

Three traps (found with onnxruntime 1.32 on a CPU):
- at its default level DequantizeLinear and MatMul become MatMulNBits, which rounds activations
  once more: relative errors of 0.1 to 1.5 %;
- with 2-bit weights and an output width that is no multiple of 4 the result of that node is wrong;
- disabling `MatMulNBitsFusion` alone keeps neither away: the fusion is part of
  `QDQSelectorActionTransformer`, which runs above the level "basic".
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.files import dump_json, read_json

if TYPE_CHECKING:
    import onnx
    import onnxruntime

SCHEMA = "mohaq.onnx-session/1"

LEVEL = "basic"
DISABLED = ("QDQSelectorActionTransformer",)

LEVELS = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}
"""Levels of a session file -> their names in onnxruntime."""

WHY = (
    "Above the level 'basic' onnxruntime may fuse DequantizeLinear and MatMul into MatMulNBits, "
    "which rounds activations once more (0.1 to 1.5 % off) and has given wrong results for 2-bit "
    "weights with an output width that is no multiple of 4 (seen in 1.32). "
    "The fusion belongs to QDQSelectorActionTransformer."
)


def session_file(model: Path) -> Path:
    """`F.session.json` for `F.onnx`."""
    return Path(model).with_suffix(".session.json")


def session_text(form: str) -> str:
    """Content of the file."""
    return dump_json(
        {
            "schema": SCHEMA,
            "form": form,
            "graph_optimization_level": LEVEL,
            "disabled_optimizers": list(DISABLED),
            "why": WHY,
            "open_with": "mohaq.onnx_session('F.onnx'), or the two options in any onnxruntime",
        }
    )


def open_session(
    model: onnx.ModelProto | Path | str, *, threads: int | None = None
) -> onnxruntime.InferenceSession:
    """An onnxruntime session on the CPU that computes what the model says.

    Args:
        model: a file with its session file beside it (without one: the options of every export),
            or a model in memory.
        threads: of one operator; None: onnxruntime decides.

    Raises:
        MohaqError: no such file, a damaged session file, a model that onnxruntime refuses.
    """
    import onnxruntime

    level, disabled, where = LEVEL, list(DISABLED), "the model"
    if isinstance(model, (str, Path)):
        path = Path(model)
        where = str(path)
        if not path.is_file():
            raise MohaqError("no such ONNX file", where=where)
        if session_file(path).exists():
            level, disabled = _read(session_file(path))
        source: Any = where
    else:
        source = model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[level])
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(
            source, options, providers=["CPUExecutionProvider"], disabled_optimizers=disabled
        )
    except Exception as error:  # onnxruntime has a class for every reason
        why = str(error).strip().partition("\n")[0]
        raise MohaqError("onnxruntime refuses this model", where=where, why=why) from error


def _read(path: Path) -> tuple[str, list[str]]:
    data = read_json(path, "session file")
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise MohaqError(
            "not a session file", where=str(path), hint=f'it must say "schema": "{SCHEMA}"'
        )
    level, disabled = data.get("graph_optimization_level"), data.get("disabled_optimizers")
    if level not in LEVELS:
        known = ", ".join(LEVELS)
        raise MohaqError(f"unknown level {level!r}", where=str(path), hint=f"one of {known}")
    if not isinstance(disabled, list) or not all(isinstance(d, str) for d in disabled):
        raise MohaqError('"disabled_optimizers" must be a list of names', where=str(path))
    return level, disabled
