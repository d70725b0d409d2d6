"""What runs in the workers of a cluster, whatever cluster it is."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from mohaq.compiler.diagnostics import MohaqError
from mohaq.compiler.search.engine import Candidates, Recipe
from mohaq.compiler.search.local import run_job
from mohaq.compiler.search.wire import Ready, pack_bug, pack_reply, unpack_job

Unpack = Callable[[bytes, Path], Recipe]


class Evaluating:
    """The evaluator of one search in a worker.

    Args:
        unpack: of the recipe's class.
        data: the packed recipe.
    """

    def __init__(self, unpack: Unpack, data: bytes) -> None:
        self._unpack = unpack
        self._data = data
        self._candidates: Candidates | None = None

    def prepare(self) -> bytes:
        """Build the evaluator; the reply says that it is ready, or why not."""
        try:
            if self._candidates is None:
                with TemporaryDirectory(prefix="mohaq-") as folder:
                    self._candidates = self._unpack(self._data, Path(folder)).build()
                self._data = b""
        except MohaqError as error:
            return pack_reply(error)
        except Exception:  # noqa: BLE001  the searching process raises it again
            return pack_bug(traceback.format_exc())
        return pack_reply(Ready.here())

    def work(self, job: bytes, limit: float | None = None) -> bytes:
        """The outcome of a job; this process ends when that takes more than `limit` seconds."""
        assert self._candidates is not None
        with deadline(limit):
            try:
                return pack_reply(run_job(self._candidates, unpack_job(job)))
            except MohaqError as error:
                return pack_reply(error)


@contextlib.contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """End this process when the block takes longer, even where Python cannot run.

    The default action of SIGALRM is the system's; no thread of ours has to get a turn.
    """
    if seconds is None:
        yield
        return
    if not hasattr(signal, "setitimer"):  # pragma: no cover  Windows
        faulthandler.dump_traceback_later(seconds, exit=True)
    else:
        signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        if not hasattr(signal, "setitimer"):  # pragma: no cover  Windows
            faulthandler.cancel_dump_traceback_later()
        else:
            signal.setitimer(signal.ITIMER_REAL, 0)
