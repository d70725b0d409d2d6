"""Whether code runs without what it may not use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from types import CodeType, FrameType
from typing import Any, TypeVar

Result = TypeVar("Result")


def called(
    function: Callable[[], Result],
    modules: Sequence[str],
    codes: Collection[CodeType] = (),
) -> tuple[Result, list[str]]:
    """Run a function; gives its result and the forbidden functions that it called.

    Args:
        function: what to run.
        modules: forbidden ones, with all below them. Importing one is no call.
        codes: code of further forbidden functions.
    """
    found: set[str] = set()

    def watch(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or code.co_name == "<module>":
            return
        name = str(frame.f_globals.get("__name__", ""))
        if code in codes or any(name == m or name.startswith(f"{m}.") for m in modules):
            found.add(f"{name}.{code.co_qualname}")

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        result = function()
    finally:
        sys.setprofile(before)
    return result, sorted(found)
