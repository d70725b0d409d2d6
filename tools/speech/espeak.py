"""Speech with phone boundaries from libespeak-ng, through ctypes.

The library (wheel `espeakng-loader`, extra `speech`) is needed to generate the corpus only.
It seeds itself from the clock and keeps state between utterances, so `synthesise` runs each
utterance in a child forked right after initialisation, with both of its random seeds set: an
utterance is then a function of (text, voice, settings, seed) on one machine and library version.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mohaq.compiler.diagnostics import MohaqError

RATE = 22050
"""Samples per second of libespeak-ng's own synthesizer."""

_SYNCHRONOUS = 2
_PHONEME_EVENTS_DONT_EXIT = 0x8001
_CHARS_UTF8 = 1
_PARAMETERS = {"rate": 1, "pitch": 3, "range": 4}
_EVENT_PHONEME = 7
_LABEL_BYTES = 8


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("label", ctypes.c_char * _LABEL_BYTES),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True)
class Prosody:
    """How an utterance is spoken, in libespeak-ng's units.

    Attributes:
        rate: words per minute.
        pitch: base pitch, 0 to 100.
        range: pitch range, 0 to 100.
    """

    rate: int = 175
    pitch: int = 50
    range: int = 50


@dataclass(frozen=True)
class Utterance:
    """Synthesised speech.

    Attributes:
        samples: [N] int16 at `RATE`.
        starts: [P] first sample of each phone.
        phones: P phone names as libespeak-ng writes them, stress marks included.
    """

    samples: npt.NDArray[np.int16]
    starts: npt.NDArray[np.int64]
    phones: tuple[str, ...]


@cache
def _library() -> ctypes.CDLL:
    try:
        import espeakng_loader
    except ImportError:
        raise MohaqError(
            "the speech synthesizer is not installed",
            hint="pip install 'mohaq[speech]'",
        ) from None
    if not hasattr(os, "fork"):
        raise MohaqError("corpus generation needs a system with fork (Linux or macOS)")
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    data = str(Path(espeakng_loader.get_data_path()).parent).encode()
    rate = library.espeak_Initialize(_SYNCHRONOUS, 200, data, _PHONEME_EVENTS_DONT_EXIT)
    if rate != RATE:
        raise MohaqError(f"libespeak-ng did not start (espeak_Initialize returned {rate})")
    return library


def voices() -> tuple[str, ...]:
    """Names of the voice variants in the installed data, sorted."""
    import espeakng_loader

    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_file()))


def _speak(text: str, voice: str, prosody: Prosody, seed: int) -> Utterance:
    """Synthesise in this process; its result depends on what was spoken before."""
    library = _library()
    library.espeak_ng_SetRandSeed(seed)
    ctypes.CDLL(None).srand(seed)
    status = library.espeak_SetVoiceByName(voice.encode())
    if status != 0:  # the library would silently go on with the previous voice
        raise MohaqError(f"unknown voice '{voice}'", why=f"espeak_SetVoiceByName gave {status}")
    for name, number in _PARAMETERS.items():
        status = library.espeak_SetParameter(number, getattr(prosody, name), 0)
        if status != 0:
            raise MohaqError(f"bad {name} {getattr(prosody, name)}", where=voice)
    chunks: list[bytes] = []
    starts: list[int] = []
    phones: list[str] = []

    def collect(wave: ctypes._Pointer[ctypes.c_short], count: int, event: object) -> int:
        if wave and count > 0:
            chunks.append(ctypes.string_at(wave, 2 * count))
        index = 0
        while event[index].type != 0:  # type: ignore[index]
            if event[index].type == _EVENT_PHONEME:  # type: ignore[index]
                starts.append(event[index].sample)  # type: ignore[index]
                phones.append(event[index].label.decode("utf-8", "replace"))  # type: ignore[index]
            index += 1
        return 0

    callback = _CALLBACK(collect)
    library.espeak_SetSynthCallback(callback)
    raw = text.encode()
    status = library.espeak_Synth(raw, len(raw) + 1, 0, 0, 0, _CHARS_UTF8, None, None)
    if status != 0 or not chunks:
        raise MohaqError(f"could not speak '{text}'", where=voice, why=f"status {status}")
    return Utterance(
        np.frombuffer(b"".join(chunks), np.int16), np.asarray(starts, np.int64), tuple(phones)
    )


def _pack(speech: Utterance) -> bytes:
    names = "\n".join(speech.phones).encode()
    head = struct.pack("<3q", len(speech.samples), len(speech.starts), len(names))
    return head + speech.samples.tobytes() + speech.starts.tobytes() + names


def _unpack(data: bytes) -> Utterance:
    samples, phones, length = struct.unpack_from("<3q", data)
    first = 24 + 2 * samples
    names = data[first + 8 * phones :][:length].decode()
    return Utterance(
        np.frombuffer(data, np.int16, samples, 24),
        np.frombuffer(data, np.int64, phones, first),
        tuple(names.split("\n")) if phones else (),
    )


def synthesise(text: str, voice: str, prosody: Prosody, seed: int) -> Utterance:
    """Speak `text`, repeatably. Forks, so call it where no other thread runs.

    Args:
        text: what to say.
        voice: accent and variant, such as `en-us+f2`.
        prosody: speed and pitch.
        seed: of both random generators that the library draws from.

    Returns:
        The audio with its phones.

    Raises:
        MohaqError: no synthesizer, an unknown voice, or no audio came out.
    """
    _library()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(read)
            with open(write, "wb") as pipe:  # noqa: PTH123  a descriptor, no path
                try:
                    pipe.write(b"+" + _pack(_speak(text, voice, prosody, seed)))
                except MohaqError as error:
                    pipe.write(b"-" + error.message().encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with open(read, "rb") as pipe:  # noqa: PTH123  a descriptor, no path
        data = pipe.read()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)
    if data[:1] == b"+":
        return _unpack(data[1:])
    raise MohaqError(data[1:].decode() or f"the synthesizer died on '{text}'", where=voice)
