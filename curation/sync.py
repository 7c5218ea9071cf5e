"""Does the sound happen when the picture says so: one offset a clip, with its confidence."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from curation.sight import Track
from curation.sound import onset_strength, sudden

Floats = NDArray[np.float64]

GRID_S = 0.005
MIN_SOUNDS = 3
REACH_S = 0.6  # larger offsets are not told from other events
CONFIDENT = 2.5
AROUND_S = 0.4
LEAST_FPS = 15.0  # slower films hold too few frames between two events (docs/scores.md)
CHANCE_FPS = 8.0  # frames a second whose chance peaks are the measure of confidence


def sync_scores(track: Track, mono: Floats, rate: int, start: float) -> dict[str, float | None]:
    """Offset, confidence and resolution of a clip whose first sample lies at `start` seconds.

    Below LEAST_FPS only the resolution: confident offsets are wrong too often there.
    """
    if len(track.times) < 5 or not mono.size:
        return {}
    floor = float(np.median(np.diff(track.times)))
    scores: dict[str, float | None] = {"sync_floor_ms": floor * 1000}
    if floor * LEAST_FPS > 1.02:  # containers round times
        return scores
    return scores | offset_scores(track, mono, rate, start)


def offset_scores(track: Track, mono: Floats, rate: int, start: float) -> dict[str, float | None]:
    """Offset, confidence and match at whatever frame rate; see sync_scores.

    Picture events are sudden changes of motion or of the picture, sound events are onsets. The
    offset is where their cross-correlation is largest; confidence says by how many standard
    deviations that stands above all other offsets, as at CHANCE_FPS frames a second; match says it
    of no offset at all. Null without picture events, or with fewer than
    MIN_SOUNDS sounds, where chance decides (Big Buck Bunny's music gave 4.4 from two of them).
    """
    floor = float(np.median(np.diff(track.times)))
    times, strength = onset_strength(mono, rate)
    seen, heard = visual_events(track), peaks_only(strength)
    if seen.max() <= 0 or len(sudden(times, strength)) < MIN_SOUNDS:
        return {}
    span = mono.size / rate
    picture = spread(track.times - start, seen, span, floor)
    sound = spread(times, heard, span, floor)
    lags, likeness = correlate(picture, sound)
    deviation = likeness.std()
    if deviation <= 0:
        return {}
    best = int(likeness.argmax())
    height = (likeness - np.median(likeness)) / deviation - chance(floor) + chance(1 / CHANCE_FPS)
    return {
        "sync_offset_ms": float(lags[best] * 1000),
        "sync_confidence": float(height[best]),
        "sync_match": float(height[np.abs(lags) <= floor].max()),
    }


def chance(floor: float) -> float:
    """The highest of as many normal values as there are separate offsets, in sigmas.

    More frames a second try more offsets, so their best is higher where there is nothing to find.
    """
    return float(np.sqrt(2 * np.log(max(2.0, 2 * REACH_S / floor))))


def film_sync(clips: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """The offset that a film's confident clips agree on, from their scores: a repair to offer."""
    sure = [c for c in clips if (c.get("sync_confidence") or 0.0) >= CONFIDENT]
    scores: dict[str, float | None] = {"sync_votes": float(len(sure))}
    if not sure:
        return scores
    offsets = np.array([c["sync_offset_ms"] for c in sure])
    floors = np.array([c["sync_floor_ms"] for c in sure])
    middle = float(np.median(offsets))
    return scores | {
        "sync_film_ms": middle,
        "sync_agreement": float((np.abs(offsets - middle) <= floors).mean()),
    }


def visual_events(track: Track) -> Floats:
    """How suddenly each frame changes what moves, [N]: 0 for steady motion and for stillness.

    At an impact some one-sided flows (see sight.motion) fall and others rise at once; in free
    motion they change slowly. What a film does all the time is subtracted, the median of AROUND_S
    around each frame, so that a pan over a rough scene hides no impact (16 films at 16 and 24
    frames a second: offsets within one frame 0.89 and 0.81 of all before, 0.98 and 0.87 after).
    """
    sides = np.stack([track[name] for name in ("right", "left", "down", "up")], axis=1)
    around = 2 * int(AROUND_S / float(np.median(np.diff(track.times))) / 2) + 1
    jump = np.zeros(len(sides))
    change = sides[2:] - sides[1:-1]  # values[i] is the pair (i-1, i)
    rise, fall = np.maximum(change, 0).sum(axis=1), np.maximum(-change, 0).sum(axis=1)
    jump[1:-1] = 2 * np.minimum(rise, fall) + rise + fall
    jump = np.maximum(jump - signal.medfilt(jump, around), 0)
    events = np.maximum(jump - np.median(jump[1:-1]), 0)
    # Below 1, so that one great event does not outweigh all others.
    return np.sqrt(events / events.max()) if events.max() > 0 else events


def peaks_only(strength: Floats) -> Floats:
    """Onset strength at its peaks, 0 elsewhere; weak ripples are dropped."""
    heard = np.zeros_like(strength)
    top = strength.max(initial=0.0)
    if top < 1.0:  # dB: nothing begins
        return heard
    peaks, _ = signal.find_peaks(strength, height=max(1.0, 0.2 * top))
    heard[peaks] = strength[peaks] / top
    return heard


def spread(times: Floats, values: Floats, span: float, width: float) -> Floats:
    """Events on a grid of GRID_S over [0, span), each as a bell of half a frame's deviation."""
    size = max(1, round(span / GRID_S))
    line = np.zeros(size)
    place = np.round(times / GRID_S).astype(int)
    inside = (place >= 0) & (place < size)
    np.add.at(line, place[inside], values[inside])
    sigma = 0.4 * width / GRID_S
    reach = np.arange(-np.ceil(4 * sigma), np.ceil(4 * sigma) + 1)
    bell = np.exp(-0.5 * (reach / sigma) ** 2)
    return np.convolve(line, bell, mode="same") if size >= bell.size else line


def correlate(picture: Floats, sound: Floats) -> tuple[Floats, Floats]:
    """(lags in seconds, likeness) for sound behind picture by each lag within REACH_S."""
    both = signal.correlate(sound, picture, mode="full", method="fft")
    lags = (np.arange(both.size) - (picture.size - 1)) * GRID_S
    near = np.abs(lags) <= min(REACH_S, picture.size * GRID_S / 2)
    return lags[near], both[near]
