"""A rough English pronunciation from spelling, for names and numbers that no dictionary holds.

An aligner only needs it to know about how long a word is and what it begins with; such words carry
no score. Phones are those of the CMU dictionary.
"""

import re
import unicodedata

LONGEST = 4
SOUNDS = {
    "tion": "SH AH N", "sion": "ZH AH N", "ough": "AO", "augh": "AO",
    "igh": "AY", "tch": "CH", "sch": "S K", "dge": "JH", "eau": "OW",
    "ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "gh": "G", "ck": "K", "qu": "K W", "ng": "NG",
    "wh": "W", "kn": "N", "wr": "R", "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW", "ow": "OW",
    "ai": "EY", "ay": "EY", "oa": "OW", "oi": "OY", "oy": "OY", "au": "AO", "aw": "AO", "er": "ER",
    "ar": "AA R", "or": "AO R", "ur": "ER", "ir": "ER", "ie": "IY", "ei": "EY", "ey": "IY",
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH",
    "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R",
    "s": "S", "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z",
    "0": "Z IH R OW", "1": "W AH N", "2": "T UW", "3": "TH R IY", "4": "F AO R", "5": "F AY V",
    "6": "S IH K S", "7": "S EH V AH N", "8": "EY T", "9": "N AY N",
}  # fmt: skip


def spelled(word: str) -> str:
    """Phones of a word, separated by blanks; '' when it has no Latin letter and no digit."""
    plain = unicodedata.normalize("NFKD", word.lower())
    letters = re.sub(r"[^a-z0-9]", "", plain)
    letters = re.sub(r"([a-z])\1", r"\1\1" if letters in {"ee", "oo"} else r"\1", letters)
    if len(letters) > 3 and letters.endswith("e") and not letters.endswith("ee"):
        letters = letters[:-1]
    phones = []
    at = 0
    while at < len(letters):
        size = next(n for n in range(LONGEST, 0, -1) if letters[at : at + n] in SOUNDS)
        phones.append(SOUNDS[letters[at : at + size]])
        at += size
    return " ".join(phones)
