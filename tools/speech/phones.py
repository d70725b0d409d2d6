"""The phone classes of the corpus and how libespeak-ng's phone names fold into them."""

from __future__ import annotations

from mohaq.compiler.diagnostics import MohaqError

SILENCE = "sil"

_CONSONANTS = "p b t d k g f v T D s z S Z h tS dZ m n N l r w j @L"
_VOWELS = "i: I E eI a a# V 0 O: oU U u: 3: 3 @ aI aU OI A@ O@ e@ i@"

PHONES: tuple[str, ...] = (
    SILENCE,
    *_CONSONANTS.split(),
    *_VOWELS.split(),
)
"""48 classes; the index is the label. Silence is class 0."""

# Stress, vowel reduction and accent variants do not make a class of their own, nor do phones too
# rare to be learned (A: U@ aI@ and the flaps).
_FOLD = {
    "": SILENCE,
    "_": SILENCE,
    "_:": SILENCE,
    "_!": SILENCE,
    "_|": SILENCE,
    "t#": "t",
    "t2": "t",
    "t[": "t",
    "?": "t",
    "d#": "d",
    "n-": "n",
    "m-": "m",
    "l#": "l",
    "l/": "l",
    "r-": "r",
    "r/": "r",
    "w#": "w",
    "x": "k",
    "i": "i:",
    "I2": "I",
    "I#": "I",
    "I2#": "I",
    "E2": "E",
    "E#": "E",
    "aa": "a",
    "a2": "a#",
    "V2": "V",
    "VR": "3:",
    "IR": "3:",
    "O": "O:",
    "O2": "0",
    "0#": "0",
    "u": "u:",
    "@2": "@",
    "@5": "@",
    "@-": "@",
    "3#": "3",
    "aI2": "aI",
    "aI3": "aI",
    "aI@": "aI",
    "aI@3": "aI",
    "aU@": "aU",
    "A:": "A@",
    "A~": "A@",
    "A#": "A@",
    "o@": "O@",
    "U@": "O@",
    "i@3": "i@",
    "ju": "u:",
}
_INDEX = {name: i for i, name in enumerate(PHONES)}
_STRESS = "',%="

CONTINUATION = ";"
"""A mark of palatalisation that libespeak-ng reports as a phone: it goes on with the one before."""


def phone_class(name: str) -> int:
    """The class of a phone as libespeak-ng names it (stress marks allowed).

    Raises:
        MohaqError: a name that the table does not know (another library version).
    """
    plain = name.lstrip(_STRESS)
    plain = _FOLD.get(plain, plain)
    if plain not in _INDEX:
        raise MohaqError(
            f"unknown phone '{name}'", why="the table is for libespeak-ng 1.52 (English voices)"
        )
    return _INDEX[plain]
