"""Recordings from NIST SPHERE or RIFF files, as TIMIT comes in both."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mohaq.compiler.diagnostics import MohaqError

Samples = npt.NDArray[np.float32]

MAGIC = b"NIST_1A\n"
LONGEST_HEADER = 1 << 16


def read_audio(path: Path) -> tuple[Samples, int]:
    """Samples [N] in 16-bit units, and samples per second, of a mono 16-bit file.

    Raises:
        MohaqError: damaged, truncated, empty, compressed, or of another format.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise MohaqError("cannot read this recording", where=str(path), why=str(error)) from None
    if data.startswith(MAGIC):
        return _sphere(path, data)
    if data.startswith(b"RIFF"):
        return _riff(path)
    raise MohaqError(
        "this is no recording", where=str(path), why="it is neither NIST SPHERE nor RIFF wav"
    )


def _sphere(path: Path, data: bytes) -> tuple[Samples, int]:
    """The format of NIST's SPHERE library: a text header of fixed length, then samples."""
    fields, size = _header(path, data)
    coding = fields.get("sample_coding", "pcm")
    if coding != "pcm":
        raise MohaqError(
            f"SPHERE files with the coding '{coding}' cannot be read",
            where=str(path),
            hint="decompress them to plain pcm first, e.g. with sph2pipe or w_decode",
        )
    form = tuple(fields.get(k, d) for k, d in (("channel_count", "1"), ("sample_n_bytes", "2")))
    order = fields.get("sample_byte_format", "01")
    if form != ("1", "2") or order not in ("01", "10"):
        raise MohaqError(
            "a recording is mono, 16 bit",
            where=str(path),
            why=f"got {form[0]} channels, {form[1]} bytes, byte format {order}",
        )
    try:
        count, rate = int(fields["sample_count"]), int(fields["sample_rate"])
    except (KeyError, ValueError) as error:
        raise MohaqError("the SPHERE header is damaged", where=str(path), why=f"{error}") from None
    body = data[size : size + 2 * count]
    if count < 1 or rate < 1 or len(body) != 2 * count:
        raise MohaqError(
            "the recording is truncated",
            where=str(path),
            why=f"{len(body)} of {2 * count} bytes at {rate} Hz",
        )
    return np.frombuffer(body, "<i2" if order == "01" else ">i2").astype(np.float32), rate


def _header(path: Path, data: bytes) -> tuple[dict[str, str], int]:
    """{field: value} and the header's length in bytes."""
    damaged = MohaqError("the SPHERE header is damaged", where=str(path))
    try:
        size = int(data[len(MAGIC) : len(MAGIC) + 8])
    except ValueError:
        raise damaged from None
    if not 16 <= size <= min(len(data), LONGEST_HEADER):
        raise damaged
    fields: dict[str, str] = {}
    for line in data[16:size].decode("latin-1").splitlines():
        if line.strip() == "end_head":
            return fields, size
        parts = line.split(None, 2)
        if len(parts) == 3:  # name, -i | -r | -sN, value
            fields[parts[0]] = parts[2].strip()
    raise damaged


def _riff(path: Path) -> tuple[Samples, int]:
    try:
        with wave.open(str(path), "rb") as file:
            rate, form = file.getframerate(), (file.getnchannels(), file.getsampwidth())
            count = file.getnframes()
            data = file.readframes(count)
    except (wave.Error, EOFError, OSError) as error:
        raise MohaqError(
            "cannot read this wav file", where=str(path), why=str(error) or "it is truncated"
        ) from None
    if form != (1, 2):
        raise MohaqError(
            "a recording is mono, 16 bit",
            where=str(path),
            why=f"got {form[0]} channels, {8 * form[1]} bit",
        )
    if count == 0 or len(data) != 2 * count:
        raise MohaqError(
            "the recording is truncated", where=str(path), why=f"{len(data)} of {2 * count} bytes"
        )
    return np.frombuffer(data, "<i2").astype(np.float32), rate
