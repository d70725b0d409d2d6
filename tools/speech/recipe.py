"""What each utterance of the corpus is: a function of (seed, split, index) alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mohaq.tools.speech.channel import draw_channel, record
from mohaq.tools.speech.espeak import RATE, Prosody, synthesise
from mohaq.tools.speech.fbank import FbankOptions, fbank, frame_centres
from mohaq.tools.speech.phones import CONTINUATION, phone_class
from mohaq.tools.speech.words import sentence

FBANK = FbankOptions(rate=RATE)

FEATURE_SCALE = 0.4
"""Brings log energies less their utterance mean to a standard deviation near 1."""

ACCENTS: tuple[str, ...] = (
    "en-us",
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-029",
    "en-us-nyc",
    "en-gb-x-gbcwmd",
    "en-gb-x-gbclan",
)

# Robots, whispers and another synthesizer's voices are left out. Variants of one voice stay on one
# side, so that test voices are really new ones.
_VOICES = {
    "train": """Alex Alicia Andrea Diogo Henrique Hugo Jacky Marco Mario Nguyen Reed RicishayMax
        RicishayMax2 RicishayMax3 adam anika announcer antonio belinda benjamin boris caleb david
        ed edward edward2 f1 f3 grandma grandpa iven iven2 iven3 iven4 john kaukovalta m4 m5 m6 m7
        m8 michel norbert pablo paul pedro quincy rob robert sandro steph steph2 steph3 travis
        zac""",
    "calibration": "Gene Gene2 Lee Storm f4 victor",
    "validation": "Andy AnxiousAndy f5 gustave m1 m3 marcelo shelby",
    "test": "Annie Denis Michael Mike aunty f2 ian linda m2 max miguel mike2",
}
VOICES: dict[str, tuple[str, ...]] = {k: tuple(v.split()) for k, v in _VOICES.items()}
SPLITS: tuple[str, ...] = tuple(VOICES)


@dataclass(frozen=True)
class Spoken:
    """One utterance of the corpus.

    Attributes:
        name: split and index.
        text: what is said.
        voice: accent and variant.
        features: [T, 23] float32, log energies less their utterance mean, times `FEATURE_SCALE`.
        labels: [T] uint8, the phone class at each frame's centre.
    """

    name: str
    text: str
    voice: str
    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]


def _frame_labels(
    starts: npt.NDArray[np.int64], phones: tuple[str, ...], lead: int, frames: int
) -> npt.NDArray[np.uint8]:
    classes = [phone_class("")]  # before the first phone
    for name in phones:
        classes.append(classes[-1] if name == CONTINUATION else phone_class(name))
    edges = starts + lead
    index = np.searchsorted(edges, frame_centres(frames, FBANK), side="right")
    return np.asarray(classes, np.uint8)[index]


def make_utterance(seed: int, split: str, index: int) -> Spoken:
    """Speak, record and label one utterance.

    Args:
        seed: of the whole corpus.
        split: one of `SPLITS`.
        index: number within the split.

    Raises:
        MohaqError: the synthesizer is missing or refuses.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    text = sentence(rng)
    variants = VOICES[split]
    accent = ACCENTS[int(rng.integers(len(ACCENTS)))]
    voice = f"{accent}+{variants[int(rng.integers(len(variants)))]}"
    prosody = Prosody(
        rate=int(rng.integers(135, 216)),
        pitch=int(rng.integers(25, 76)),
        range=int(rng.integers(25, 81)),
    )
    speech = synthesise(text, voice, prosody, int(rng.integers(1, 2**31)))
    lead = int(rng.uniform(0.05, 0.25) * RATE)
    wave = np.concatenate([np.zeros(lead, np.float32), speech.samples.astype(np.float32)])
    heard = record(wave, RATE, draw_channel(rng), rng)
    energies = fbank(heard, FBANK)
    features = (energies - energies.mean(axis=0)) * np.float32(FEATURE_SCALE)
    labels = _frame_labels(speech.starts, speech.phones, lead, len(features))
    return Spoken(f"{split}-{index:05d}", text, voice, features, labels)
