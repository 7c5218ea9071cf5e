"""Do picture and sound happen at once: AV-Align, agreement of events, and the offset.

Letters: N frames, S samples.
"""

import librosa
import numpy as np
from numpy.typing import NDArray
from scipy import signal

from curation.sight import Sight, Track
from curation.sound import onsets
from curation.sync import CONFIDENT, sync_scores, visual_events
from jobs.evaluating.clips import RATE, Floats, Watched
from jobs.evaluating.motion import average_flow

FEWEST = 5  # frames
STRONG = 0.5  # of the strongest picture event: what is weaker is a ripple
ONSET_S = 0.05  # mir_eval's window for onsets


def timing_scores(seen: Watched) -> dict[str, float | None]:
    """Scores of a clip's timing; empty for a clip without sound or with too few frames."""
    if seen.sound is None or len(seen.pixels) < FEWEST or not np.abs(seen.sound).max() > 0:
        return {}
    sight = Sight()
    sight.feed(seen.times, seen.pixels)
    track, mono = sight.track(), seen.sound.astype(np.float64)
    found = sync_scores(track, mono, RATE, 0.0)
    offset, sure = found.get("sync_offset_ms"), found.get("sync_confidence")
    told = offset is not None and sure is not None and sure >= CONFIDENT
    return {
        "av_align": av_align(seen),
        "event_f1": event_f1(track, mono, seen.fps),
        "sync_confidence": sure,
        "sync_match": found.get("sync_match"),
        "sync_error_ms": abs(offset) if told and offset is not None else None,
    }


def av_align(seen: Watched) -> float | None:
    """AV-Align (Yariv et al. 2024, arXiv 2309.16429): intersection over union of peaks.

    Peaks of the mean flow and onsets of the sound match where they are less than a frame apart. As
    the paper's equation, both ways are counted: (onsets with a peak + peaks with an onset) / 2 is
    the intersection; its published code counts onsets alone. None without any peak or onset.
    """
    assert seen.sound is not None
    curve = average_flow(seen.pixels)
    top = (curve[1:-1] > curve[:-2]) & (curve[1:-1] > curve[2:])
    peaks = (np.flatnonzero(top) + 1) / seen.fps
    heard = librosa.onset.onset_detect(y=seen.sound, sr=RATE, units="time")
    return overlap(np.asarray(heard, np.float64), peaks, 1 / seen.fps)


def overlap(a: Floats, b: Floats, window: float) -> float | None:
    """Intersection over union of two lists of times; None where both are empty."""
    if not len(a) and not len(b):
        return None
    if not len(a) or not len(b):
        return 0.0
    near = np.abs(a[:, None] - b[None]) < window
    both = (int(near.any(axis=1).sum()) + int(near.any(axis=0).sum())) / 2
    return float(both / (len(a) + len(b) - both))


def event_f1(track: Track, mono: Floats, fps: float) -> float | None:
    """F1 of sudden sounds against sudden changes of what moves, one to one within a frame.

    Ours: events of curation/sync.py, whose motion is that of the picture's parts, not its mean.
    None without either.
    """
    strength = visual_events(track)
    peaks, _ = signal.find_peaks(strength, height=STRONG)
    return f1(onsets(mono, RATE), track.times[peaks], 1 / fps)


def onset_f1(made: NDArray[np.floating], real: NDArray[np.floating]) -> float | None:
    """F1 of a clip's sudden sounds against those of its reference, within 50 ms, one to one."""
    found, truth = onsets(made.astype(np.float64), RATE), onsets(real.astype(np.float64), RATE)
    return f1(found, truth, ONSET_S)


def f1(a: Floats, b: Floats, window: float) -> float | None:
    """2 matched / (all of both), each event matched once; None where there is none on either side.

    Both lists are in order, so taking the earliest that fits matches as many as can be.
    """
    if not len(a) or not len(b):
        return None if not len(a) and not len(b) else 0.0
    matched, rest = 0, list(b)
    for time in a:
        while rest and rest[0] < time - window:
            rest.pop(0)
        if rest and rest[0] <= time + window:
            matched += 1
            rest.pop(0)
    return 2 * matched / (len(a) + len(b))
