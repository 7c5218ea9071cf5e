"""A picture that freezes, told from things that have come to rest.

The pixels of both are alike. What differs is the sound, which goes on under a frozen picture while
things at rest make none, and that a freeze begins in full motion or ends in a jump to where things
are by then. Abruptness alone says little: a last bounce stops dead, and what leaves the picture is
gone at once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.shots import runs
from curation.sight import REPEAT, Track
from curation.sound import onsets

ABRUPT = 4 * REPEAT  # change of a frame that is in full motion
JUMP = 2 * ABRUPT  # of the frame after a freeze; motion that begins is slower
LEAST_S = 0.5  # a shorter stretch is a held pose
APART_S = 0.2  # sounds that follow each other faster are one: a rattle, or noise of an overload
EAR_S = 0.03  # by how much an onset may be placed wrong: two steps of its grid and a codec's smear
AROUND_S = 2.0  # of sound before and after a clip: a picture may have frozen before it
LIT = 0.2  # share of the picture that must be above black to see whether it moves

Samples = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Heard:
    """Sound [channels,N] at `rate` from `start` seconds of its film on."""

    samples: Samples
    rate: int
    start: float

    def onsets(self) -> Floats:
        """Times in the film of sudden sounds."""
        return self.start + onsets(mono(self.samples), self.rate)


@dataclass(frozen=True)
class Stretch:
    """A frame that repeats: times of it, of its first repeat, of its last, and of the next frame or
    the shot's end.
    """

    first: float
    repeat: float
    last: float
    next: float
    stops: bool  # the frames before were in full motion
    jumps: bool  # the frame after is
    to_cut: bool  # it lasts until the shot's end

    def overlap(self, start: float, end: float) -> float:
        """Seconds of [start, end) in which the picture is stuck."""
        return min(end, self.next) - max(start, self.first)


def freeze_s(shot: Track, start: float, end: float, heard: Heard) -> float | None:
    """Seconds of the clip [start, end) in the longest freeze of its `shot`; 0 without one.

    `heard` is what sounds in the clip and AROUND_S before and after it. None where nothing can tell
    a freeze from rest: without sound, or in the dark.
    """
    if not heard.samples.any() or not (shot.between(start, end)["lit"].mean() >= LIT):
        return None
    stretches = [s for s in stuck(shot) if s.overlap(start, end) >= LEAST_S]
    if not stretches:
        return 0.0
    sounds = heard.onsets()
    return max((s.overlap(start, end) for s in stretches if is_freeze(s, sounds)), default=0.0)


def stuck(shot: Track) -> list[Stretch]:
    """The stretches of repeats in a shot."""
    times, change = shot.times, shot["change"][1:]  # the first is the cut
    if len(times) < 2:
        return []
    ends = [*times.tolist(), float(times[-1] + np.median(np.diff(times)))]
    return [
        Stretch(
            first=ends[a],
            repeat=ends[a + 1],
            last=ends[b + 1],
            next=ends[b + 2],
            # Two pairs: a missed cut is one jump between two stills.
            stops=a >= 2 and bool(change[a - 2 : a].min() >= ABRUPT),
            jumps=b + 1 < len(change) and bool(change[b + 1] >= JUMP),
            to_cut=b + 1 == len(change),
        )
        for a, b in runs(calm(change))
    ]


def calm(change: Floats) -> NDArray[np.bool_]:
    """Which frames repeat the one before; a lone small change is a keyframe of the codec."""
    still: NDArray[np.bool_] = change < REPEAT
    small = change < 2 * REPEAT
    before, after = np.r_[True, still[:-1]], np.r_[still[1:], True]
    moved = np.r_[False, change[:-1] >= ABRUPT]
    return still | (small & after & (before | moved))


def is_freeze(stretch: Stretch, sounds: Floats) -> bool:
    """Whether a stretch is more than rest, from the times at which `sounds` begin.

    Sounds may come from beside the picture: one is enough where motion goes on after the stretch
    with a jump, or stopped dead and then begins. A stretch that lasts until the cut has no such
    end: it takes another sound, and one more where it began softly, too.
    """
    inside = sounds[(sounds > stretch.repeat + EAR_S) & (sounds < stretch.last - EAR_S)]
    count = np.count_nonzero(np.diff(inside, prepend=-np.inf) > APART_S)
    if stretch.to_cut:
        return bool(count >= (2 if stretch.stops else 3))
    return bool(count >= 1 and (stretch.stops or stretch.jumps))


def mono(samples: Samples) -> Floats:
    """The mean of the channels [N], or half their difference where one is inverted."""
    mean: Floats = samples.mean(axis=0, dtype=np.float64)
    if len(samples) != 2:
        return mean
    side: Floats = (samples[0].astype(np.float64) - samples[1]) / 2
    return side if np.square(side).sum() > np.square(mean).sum() else mean
