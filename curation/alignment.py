"""Do sounds fall on impacts? Measured from pixels and samples alone, so that generated clips count.

An impact is where a vivid object turns: its fall becomes a rise, or its way left becomes a way
right. An onset is where sound sets in. The share of onsets within one frame of an impact says
little by itself (two impacts in two seconds cover a third of the time), so it stands beside the
same share with the sounds of other clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import librosa
import numpy as np
from numpy.typing import NDArray

CHROMA = 60  # of 255; the world's objects have 110 and more, its backgrounds at most 30
HUE_BINS = 36
HUE_SHARE = 0.08  # of all vivid pixels; smaller hues are edges and compression
STILL = 0.004  # heights a frame that count as no motion
MIN_PIXELS = 0.002  # of the picture: a smaller spot is no object
TURN = 0.012  # of the picture's height: 0.8 pixels of 64; centres wander by less than half of it
HOP_S = 0.01
PRE_S, MEAN_S, WAIT_S = 0.03, 0.1, 0.06  # of the peak picker
QUIET_DB = -32.0  # an onset this far below the clip's loudest is noise
SHUFFLES = 2000

Times = NDArray[np.float64]
Clip = tuple[Times, Times]  # impacts and onsets in seconds


@dataclass(frozen=True)
class Alignment:
    """How well onsets lie on impacts over a set of clips."""

    clips: int  # that have an impact and an onset
    impacts: int
    onsets: int
    tolerance_s: float
    matched: float  # share of onsets within the tolerance of an impact of their own clip
    shuffled: float  # the same against the impacts of the other clips, mean over shuffles
    chance: float  # share of shuffles that do as well as the clips themselves


def align(clips: Sequence[Clip], tolerance_s: float, seed: int = 0) -> Alignment:
    """Compare each clip's onsets with its own impacts and with those of other clips.

    Clips without impact or onset say nothing about time and are left out. Raises ValueError when
    fewer than two are left, because then nothing can be shuffled.
    """
    usable = [(hits, heard) for hits, heard in clips if len(hits) and len(heard)]
    if len(usable) < 2:
        raise ValueError(f"{len(usable)} clips have an impact and an onset; two are needed")
    near = np.array([[count_near(h, o, tolerance_s) for h, _ in usable] for _, o in usable])
    onsets = sum(len(heard) for _, heard in usable)
    rng = np.random.default_rng(seed)
    own = np.trace(near) / onsets
    rows = np.arange(len(usable))
    drawn = [near[rows, derangement(len(usable), rng)].sum() / onsets for _ in range(SHUFFLES)]
    return Alignment(
        clips=len(usable),
        impacts=sum(len(hits) for hits, _ in usable),
        onsets=onsets,
        tolerance_s=tolerance_s,
        matched=float(own),
        shuffled=float(np.mean(drawn)),
        chance=float(np.mean(np.array(drawn) >= own)),
    )


def derangement(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A permutation that leaves nothing in its place."""
    while True:
        order = rng.permutation(count)
        if not (order == np.arange(count)).any():
            return order


def count_near(hits: Times, heard: Times, tolerance_s: float) -> int:
    """How many of `heard` lie within the tolerance of one of `hits`."""
    return int((np.abs(heard[:, None] - hits[None]).min(axis=1) <= tolerance_s).sum())


def onsets(samples: NDArray[np.float32], rate: int) -> Times:
    """Times in seconds at which sound sets in. `samples` [channels,S]; silence gives none."""
    mono = samples.mean(axis=0)
    hop = round(HOP_S * rate)
    if mono.size < 4 * hop or not np.abs(mono).max() > 0:
        return np.zeros(0)
    mel = librosa.feature.melspectrogram(y=mono, sr=rate, n_fft=4 * hop, hop_length=hop, n_mels=40)
    level = 10 * np.log10(np.maximum(mel, mel.max() * 1e-6) / mel.max())
    # Quiet bands do not count: noise 30 dB down jumps by as many dB as an impact does.
    rise = np.maximum(0, np.diff(np.maximum(level, QUIET_DB), axis=1)).mean(axis=0)
    rise = np.concatenate([[0.0], rise])
    if rise.max() < 1.0:
        return np.zeros(0)
    steps = [round(s / HOP_S) for s in (PRE_S, PRE_S, MEAN_S, MEAN_S, WAIT_S)]
    peaks = librosa.util.peak_pick(
        rise / rise.max(),
        pre_max=steps[0],
        post_max=steps[1] + 1,
        pre_avg=steps[2],
        post_avg=steps[3] + 1,
        delta=0.15,
        wait=steps[4],
    )
    return np.asarray(peaks, np.float64) * HOP_S


def impacts(pixels: NDArray[np.uint8], fps: float) -> Times:
    """Times in seconds at which a vivid object turns. `pixels` [N,H,W,3] of one shot."""
    found = [
        time
        for path in tracks(pixels)
        for time in (
            *turns(path[:, 1], rest=True),
            *turns(path[:, 0]),
            *turns(-path[:, 0]),
        )
    ]
    return np.array(sorted(found)) / fps


def tracks(pixels: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
    """Centre of each hue's pixels by frame, [N,2] x and y in heights (y down); NaN where unseen."""
    chroma = pixels.max(axis=-1).astype(np.int16) - pixels.min(axis=-1)
    vivid = chroma > CHROMA
    if not vivid.any():
        return []
    hue = hues(pixels)
    peaks = hue_peaks(hue[vivid])
    if not peaks.size:  # every hue alike: noise
        return []
    away = np.abs((hue[..., None] - peaks + 180) % 360 - 180)
    label = np.where(vivid, away.argmin(axis=-1), -1)
    return [centres(label == index) for index in range(len(peaks))]


def centres(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Centre of mass of each frame's mask [N,H,W], in heights."""
    _, H, W = mask.shape
    count = mask.sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        x = (mask.sum(axis=1) * (np.arange(W) + 0.5)).sum(axis=1) / count / H
        y = (mask.sum(axis=2) * (np.arange(H) + 0.5)).sum(axis=1) / count / H
    path = np.stack([x, y], axis=1)
    usual = np.median(count[count > 0]) if count.any() else 0.0
    path[count < max(MIN_PIXELS * H * W, 0.3 * usual)] = np.nan
    return path


def hues(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Hue in degrees, [N,H,W]."""
    r, g, b = np.moveaxis(pixels.astype(np.float64), -1, 0)
    return np.asarray(np.degrees(np.arctan2(np.sqrt(3) * (g - b), 2 * r - g - b)) % 360)


def hue_peaks(hue: NDArray[np.float64]) -> NDArray[np.float64]:
    """The hues of the objects: peaks of the circular histogram, in degrees."""
    counts, _ = np.histogram(hue, HUE_BINS, (0, 360))
    smooth = counts + (np.roll(counts, 1) + np.roll(counts, -1)) / 2
    top = (smooth >= np.roll(smooth, 1)) & (smooth > np.roll(smooth, -1))
    top &= smooth >= HUE_SHARE * smooth.sum()
    return (np.flatnonzero(top) + 0.5) * 360 / HUE_BINS


def turns(place: NDArray[np.float64], rest: bool = False) -> list[float]:
    """Frames, with fraction, at which `place` [N] turns from rising to falling.

    With `rest`, a rise that ends in rest counts too: the last small bounce of a fall. The turn lies
    where the way before and the way after, drawn on as straight lines, meet.
    """
    found = []
    for k in range(1, len(place) - 1):
        before, here, after = place[k - 1 : k + 2]
        if not (here - before > STILL and after - here <= STILL):  # False for NaN as well
            continue
        if here - valley(place[:k][::-1]) < TURN:
            continue
        if here - valley(place[k + 1 :]) >= TURN:
            found.append(k + meeting(place, k))
        elif rest:
            found.append(float(k))
    return found


def valley(way: NDArray[np.float64]) -> float:
    """How deep a way goes down before it comes up again by as much as a turn."""
    low = np.inf
    for value in way:
        if np.isnan(value) or value > low + TURN:
            break
        low = min(low, value)
    return low


def meeting(place: NDArray[np.float64], k: int) -> float:
    """Where between frames k-1 and k+1 the two ways meet, relative to k."""
    if k < 2 or k + 2 >= len(place) or np.isnan(place[[k - 2, k + 2]]).any():
        return 0.0
    up = max(place[k - 1] - place[k - 2], 1e-6)  # speed before, a frame
    down = max(place[k + 1] - place[k + 2], 1e-6)
    meet = (place[k + 1] + down - place[k - 1] - up) / (up + down)
    return float(np.clip(meet, -1, 1))
