"""What a search and its workers say to each other: JSON, so that nothing is unpickled."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mohaq import __version__
from mohaq.compiler.assignment import Slot
from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.engine import Evaluation, Failure, Job, Outcome


@dataclass(frozen=True)
class Ready:
    """A worker has built its evaluator.

    Attributes:
        pid: its process id.
        versions: of the packages that decide an error.
    """

    pid: int
    versions: dict[str, str]

    @staticmethod
    def here() -> Ready:
        """Of this process."""
        return Ready(os.getpid(), {"mohaq": __version__, "numpy": np.__version__})


def pack_job(job: Job) -> bytes:
    """A job as JSON."""
    widths = [[slot.layer, slot.slot, bits] for slot, bits in job.widths]
    held = {"key": job.key, "widths": widths, "beacon": job.beacon, "part": job.part}
    return json.dumps(held).encode()


def unpack_job(text: bytes) -> Job:
    """The job of `pack_job`."""
    held = json.loads(text)
    widths = tuple((Slot(layer, slot), bits) for layer, slot, bits in held["widths"])
    return Job(held["key"], widths, held["beacon"], held["part"])


def pack_reply(reply: Ready | Outcome | MohaqError) -> bytes:
    """What a worker answers. Floats keep all their bits."""
    match reply:
        case Ready():
            held: dict[str, Any] = {"ready": asdict(reply)}
        case MohaqError():
            held = {"error": [reply.what, reply.where, reply.why, reply.hint]}
        case Outcome():
            kind = "failure" if isinstance(reply.result, Failure) else "evaluation"
            held = {kind: asdict(reply)}
    return json.dumps(held).encode()


def pack_bug(trace: str) -> bytes:
    """That building the evaluator raised what nobody expected."""
    return json.dumps({"bug": trace}).encode()


def unpack_reply(text: bytes) -> Ready | Outcome | MohaqError:
    """The reply of `pack_reply`.

    Raises:
        RuntimeError: the worker met a bug; with its traceback.
    """
    held = json.loads(text)
    ((kind, facts),) = held.items()
    if kind == "bug":
        raise RuntimeError(f"a worker could not build its evaluator\n{facts}")
    if kind == "ready":
        return Ready(**facts)
    if kind == "error":
        what, where, why, hint = facts
        return MohaqError(what, where=where, why=why, hint=hint)
    result = facts.pop("result")
    if kind == "failure":
        return Outcome(result=Failure(**result), **facts)
    good = Evaluation(tuple(result["errors"]), tuple(result["totals"]), result["value"])
    return Outcome(result=good, **facts)
