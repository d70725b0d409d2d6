"""Where errors become messages: one for the user's mistakes, a traceback only for our bugs."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from mohaq.compiler.diagnostics import MohaqError

USER_ERROR, BUG, INTERRUPTED, BROKEN_PIPE = 2, 70, 130, 141
"""Exit codes; 1 is for checks that fail (`mohaq run --check`, `mohaq demo`)."""


class Interrupted(Exception):  # noqa: N818  no error: the user pressed Ctrl-C
    """Ctrl-C in a command that can go on later; the text says how."""


class CheckFailed(Exception):  # noqa: N818  the command worked, what it checked does not hold
    """A check that the user asked for does not hold: exit code 1."""


def print_error(text: str, title: str = "error") -> None:
    """Write one message to standard error, in colour when that is a terminal."""
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        title = f"\x1b[1;31m{title}\x1b[0m"
    print(f"{title}: {text}", file=sys.stderr)


@contextlib.contextmanager
def boundary() -> Iterator[None]:
    """Turn exceptions into a message and an exit code.

    With MOHAQ_TRACEBACK=1 everything shows its traceback.
    """
    try:
        yield
        sys.stdout.flush()
    except MohaqError as error:
        _maybe_traceback()
        print_error(error.message())
        raise SystemExit(USER_ERROR) from None
    except CheckFailed as error:
        print_error(str(error), "failed")
        raise SystemExit(1) from None
    except Interrupted as error:
        print_error(str(error), "\ninterrupted")
        raise SystemExit(INTERRUPTED) from None
    except KeyboardInterrupt:
        print_error("nothing was written", "\ninterrupted")
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        # The reader went away; without this Python complains again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(BROKEN_PIPE) from None
    except Exception as error:  # noqa: BLE001  the outermost place: it is a bug of ours
        traceback.print_exc()
        print_error(f"{type(error).__name__}: please report it with the text above", "bug in mohaq")
        raise SystemExit(BUG) from None


def guarded(function: Callable[..., None]) -> Callable[..., None]:
    """The command inside the error boundary; click's own errors never get here."""

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> None:
        with boundary():
            function(*args, **kwargs)

    return command


def _maybe_traceback() -> None:
    if os.environ.get("MOHAQ_TRACEBACK") == "1":
        traceback.print_exc()
