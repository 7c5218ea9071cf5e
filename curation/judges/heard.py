"""The judges of sound: events and classes, speech quality, and whether sound and picture agree."""

from typing import Any

import numpy as np

from curation.judges.evidence import Evidence
from curation.judges.sound_nets import RATE, Parts, dnsmos, overlap_s
from curation.judges.vectors import cosine

SILENT_DB = -60.0
STEP_S = 0.02
CLASSES = ("speech", "singing", "music", "effects", "ambience", "silent")
LEAST = 0.05  # of a class's probability to be named as an event
SPEECH_S = 1.0  # of speech that a quality can be told from


def events(evidence: Evidence) -> dict[str, Any]:
    """Columns of `events`; a clip without a track is silent."""
    if not evidence.seen.sound.size:
        return shares_row({"silent": 1.0}) | {"events": None}
    named = [f"{name} {p:.2f}" for name, p in evidence.events.best(8) if p >= LEAST]
    return shares_row(shares(evidence)) | {"events": ", ".join(named) or None}


def shares(evidence: Evidence) -> dict[str, float]:
    """Share of the clip of each class.

    Speech, singing and music may lie over each other (FireRedVAD finds each by itself). What none
    of them covers is silent below SILENT_DB, else an effect or ambience, as YAMNet's likeliest
    class of that moment says.
    """
    sound, parts = evidence.seen.sound, evidence.parts
    step = round(STEP_S * RATE)
    count = max(1, sound.size // step)
    frames = sound[: count * step].reshape(count, -1).astype(np.float64)
    quiet = np.square(frames).mean(axis=1) < 10 ** (SILENT_DB / 10)
    when = (np.arange(count) + 0.5) * STEP_S
    masks = {name: parts.mask(name, when) & ~quiet for name in ("speech", "singing", "music")}
    rest = ~quiet & ~np.any(list(masks.values()), axis=0)
    ambient = evidence.events.ambient(when)
    masks |= {"effects": rest & ~ambient, "ambience": rest & ambient, "silent": quiet}
    return {name: float(mask.mean()) for name, mask in masks.items()}


def shares_row(found: dict[str, float]) -> dict[str, Any]:
    """Shares as columns, and the class with the largest; of equals the first of CLASSES."""
    row = {name: found.get(name, 0.0) for name in CLASSES}
    columns: dict[str, Any] = {f"sound_{name}": share for name, share in row.items()}
    return columns | {"sound_class": max(CLASSES, key=lambda name: row[name])}


def speech_s(parts: Parts) -> float:
    """Seconds of speech."""
    return sum(end - start for start, end in parts.speech)


def voice(evidence: Evidence) -> dict[str, Any]:
    """Columns of `voice`: null where there is less than SPEECH_S of speech."""
    sound = evidence.seen.sound
    if not sound.size or speech_s(evidence.parts) < SPEECH_S:
        return {}
    start = max(0.0, evidence.parts.speech[0][0] - 0.2)
    end = evidence.parts.speech[-1][1] + 0.2
    sig, bak, ovrl = dnsmos(evidence.tools.dnsmos, sound[round(start * RATE) : round(end * RATE)])
    return {"dnsmos_ovrl": ovrl, "dnsmos_sig": sig, "dnsmos_bak": bak}


def agree(evidence: Evidence) -> dict[str, Any]:
    """Columns of `agree`: ConSE (Norouzi et al. 2013, arXiv 1312.5650) on both sides.

    What is heard and what is seen become the probability-weighted means of the likeliest names'
    sentence vectors; their cosine is the agreement. A weak stand-in: both sides see only the
    classes that they know, and most of ImageNet makes no sound. Null for silence.
    """
    sound = evidence.seen.sound
    if not sound.size or np.abs(sound).max() < 10 ** (SILENT_DB / 20):
        return {}
    meanings = evidence.tools.meanings
    seen = meanings.things(evidence.things.probabilities)
    heard = meanings.sounds(evidence.events.probabilities)
    probable = evidence.events.best(10)
    nearest = max(probable, key=lambda item: cosine(meanings.sound_of(item[0]), seen))
    return {"av_agreement": cosine(seen, heard), "heard_as": nearest[0]}


def music_bed(parts: Parts) -> float:
    """1 where music lies under half of the speech or more."""
    spoken = speech_s(parts)
    return float(spoken > 0 and overlap_s(parts.speech, parts.music) >= spoken / 2)
