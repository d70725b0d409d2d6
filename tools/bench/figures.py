"""What a bench measured, as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def as_csv(kind: type[DataclassInstance], lines: Sequence[DataclassInstance]) -> str:
    """Lines with all the fields of their class, which give the columns."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(f.name for f in fields(kind))
    writer.writerows(astuple(line) for line in lines)
    return out.getvalue()
