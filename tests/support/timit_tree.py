"""A tiny tree in TIMIT's layout, with invented recordings."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

SPEAKERS = {
    "train": ("fcjf0", "mabc0"),
    "validation": ("faks0", "mgwt0"),
    "test": ("mdab0", "felc0"),
}
IGNORED = "mzzz0"
"""In the folder `test`, but in none of the two lists."""

SENTENCES = ("sa1", "sx1", "si2", "sx3")
_PHONES = ("sh", "iy", "kcl", "k", "q", "ae", "axr", "s", "ux")


def sphere(samples: npt.NDArray[np.int64], *, coding: str = "pcm", order: str = "01") -> bytes:
    """A SPHERE file at 16 kHz."""
    fields = [
        "channel_count -i 1", f"sample_count -i {len(samples)}", "sample_rate -i 16000",
        "sample_n_bytes -i 2", f"sample_byte_format -s2 {order}", "sample_sig_bits -i 16",
        f"sample_coding -s{len(coding)} {coding}", "end_head",
    ]  # fmt: skip
    head = ("NIST_1A\n   1024\n" + "\n".join(fields) + "\n").encode()
    return head.ljust(1024) + samples.astype("<i2" if order == "01" else ">i2").tobytes()


def phn(phones: Sequence[tuple[str, int]]) -> str:
    """A label file: (phone, samples) one after the other."""
    lines, at = [], 0
    for phone, long in phones:
        lines.append(f"{at} {at + long} {phone}")
        at += long
    return "\n".join(lines) + "\n"


def make_tree(
    folder: Path, *, upper: bool = False, riff: bool = False, nested: bool = False
) -> None:
    """train/dr1/SPEAKER/SENTENCE.wav and .phn; every phone is a sum of tones of its own."""

    def case(name: str) -> str:
        return name.upper() if upper else name

    root = folder / case("timit") if nested else folder
    rng = np.random.default_rng(1)
    tested = (*SPEAKERS["validation"], *SPEAKERS["test"], IGNORED)
    halves: dict[str, tuple[str, ...]] = {"train": SPEAKERS["train"], "test": tested}
    for half, speakers in halves.items():
        for speaker in speakers:
            place = root / case(half) / case("dr1") / case(speaker)
            place.mkdir(parents=True)
            for sentence in SENTENCES:
                order = rng.permutation(len(_PHONES))
                phones = [("h#", 800), *((_PHONES[i], int(rng.integers(900, 1500))) for i in order)]
                phones.append(("h#", 700))
                wave_form = [_tone(rng, phone, long) for phone, long in phones]
                samples = np.concatenate(wave_form).astype(np.int64)
                _write(place / case(f"{sentence}.wav"), samples, riff)
                (place / case(f"{sentence}.phn")).write_text(phn(phones))


def _tone(rng: np.random.Generator, phone: str, long: int) -> npt.NDArray[np.float64]:
    noise = np.asarray(rng.normal(size=long) * 40)
    if phone == "h#":
        return noise
    number = _PHONES.index(phone) + 1
    time = np.arange(long) / 16000
    return np.asarray(noise + 3000 * np.sin(2 * np.pi * 300 * number * time))


def _write(path: Path, samples: npt.NDArray[np.int64], riff: bool) -> None:
    if not riff:
        path.write_bytes(sphere(samples))
        return
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, len(samples), "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
