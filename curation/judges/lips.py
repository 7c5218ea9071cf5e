"""The judge of lips: speech against the mouth of a visible face, and speech that no face can say.

With a SyncNet-type network in the recipe its embeddings are compared; else how open the mouth looks
is compared with how loud the voice is. That embedded measure is weak: see docs/judges.md.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from curation.judges.evidence import Evidence
from curation.judges.face_net import Track, find_faces
from curation.judges.heard import music_bed, speech_s
from curation.judges.lip_net import REACH_S, LipNet, likeness_by_lag, lse
from curation.judges.sound_nets import RATE
from curation.media import Frames

Floats = NDArray[np.floating[Any]]
Pixels = NDArray[np.uint8]

SPEECH_SHARE = 0.25  # of the clip: less says nothing about voices and lips
CROP = 160  # pixels of the face's surroundings when it is looked for again in every frame
MOUTH = 64  # pixels; from the eyes to the mouth there are 32
LIPS = (slice(26, 46), slice(18, 46))
STEP_S = 0.01
# Syllables; slower is posing, faster is noise of both. With 0.8 Hz one real head's own voice was
# barely above those of 32 strangers (0.37 against at most 0.38), with 1.5 Hz it is (0.50, 0.43).
BAND_HZ = (1.5, 9.0)
VOICE_HZ = (200.0, 4000.0)


def judge(evidence: Evidence) -> dict[str, Any]:
    """Columns of `lips`. Offsets are null without speech or without a face to follow."""
    sound = evidence.seen.sound
    if not sound.size:
        return {}
    spoken = speech_s(evidence.parts) / (sound.size / RATE)
    heard = spoken >= SPEECH_SHARE
    row: dict[str, Any] = {
        "voice_over": float(heard and evidence.speaker is None),
        "music_bed": music_bed(evidence.parts),
    }
    if not heard or evidence.speaker is None:
        return row
    frames = evidence.seen.all_frames()
    if len(frames.times) < 24:
        return row
    marks = landmarks(evidence.tools.faces, frames, evidence.seen.times, evidence.speaker)
    start, net = evidence.seen.start, evidence.tools.lips
    if net:
        pair = embeddings(net, frames, marks, sound, start)
        lags, likeness = likeness_by_lag(*pair, net.config.fps)
        row["lse_d"], row["lse_c"] = lse(*pair) or (None, None)
    else:
        lags, likeness = by_motion(frames, marks, sound, start)
    deviation = float(likeness.std())
    row["lip_floor_ms"] = float(np.median(np.diff(frames.times))) * 1000
    if deviation <= 1e-6:
        return row
    best = int(likeness.argmax())
    return row | {
        "lip_offset_ms": float(lags[best]) * 1000,
        "lip_confidence": float((likeness[best] - np.median(likeness)) / deviation),
        "lip_likeness": float(likeness[best]),
    }


def landmarks(net: Any, frames: Frames, sampled: Floats, track: Track) -> Floats:  # noqa: ANN401
    """Landmarks [N,5,2] of the followed face in every frame, smoothed over a tenth of a second.

    The face is looked for again in a small crop (8 ms) round its interpolated box; where it is not
    found, the landmarks of the sampled frames are interpolated.
    """
    when = sampled[track.frames]
    known = np.array([np.concatenate([f.box, f.landmarks.reshape(-1)]) for f in track.faces])
    guess = np.stack([np.interp(frames.times, when, column) for column in known.T], axis=1)
    found = []
    for picture, row in zip(frames.pixels, guess, strict=True):
        left, top, right, bottom = row[:4]
        side = int(2 * max(right - left, bottom - top))
        corner = np.array([(left + right - side) / 2, (top + bottom - side) / 2]).astype(int)
        crop = cv2.resize(square(picture, corner, side), (CROP, CROP), interpolation=cv2.INTER_AREA)
        faces = find_faces(net, crop.astype(np.uint8))
        marks = faces[0].landmarks * side / CROP + corner if faces else row[4:].reshape(5, 2)
        found.append(marks)
    steps = 0.05 / max(1e-3, float(np.median(np.diff(frames.times))))
    smooth: Floats = ndimage.gaussian_filter1d(np.array(found, np.float64), steps, axis=0)
    return smooth


def square(picture: Pixels, corner: NDArray[np.int_], side: int) -> Pixels:
    """A square of a picture; what lies outside repeats its border."""
    (left, top), (height, width) = corner, picture.shape[:2]
    before = max(0, -top), max(0, -left)
    after = max(0, top + side - height), max(0, left + side - width)
    padded = cv2.copyMakeBorder(
        picture, before[0], after[0], before[1], after[1], cv2.BORDER_REPLICATE
    )
    top, left = top + before[0], left + before[1]
    return np.asarray(padded[top : top + side, left : left + side], np.uint8)


def mouth(picture: Pixels, marks: Floats, size: tuple[int, int], scale: float) -> Pixels:
    """The mouth upright in the middle of [H,W,3]; `scale` pixels from eyes to mouth."""
    eyes, lips = marks[:2].mean(axis=0), marks[3:].mean(axis=0)
    down = lips - eyes
    turn = float(np.degrees(np.arctan2(down[1], down[0]) - np.pi / 2))
    zoom = scale / max(1.0, float(np.linalg.norm(down)))
    matrix = cv2.getRotationMatrix2D((float(lips[0]), float(lips[1])), turn, zoom)
    matrix[:, 2] += np.array([size[1] / 2, size[0] / 2]) - lips
    return np.asarray(cv2.warpAffine(picture, matrix, (size[1], size[0])), np.uint8)


def by_motion(
    frames: Frames, marks: Floats, sound: NDArray[np.floating[Any]], start: float
) -> tuple[Floats, Floats]:
    """(lags [L] in seconds, likeness [L]) of how open the mouth looks and how loud the voice is."""
    lips = [
        cv2.cvtColor(mouth(p, m, (MOUTH, MOUTH), MOUTH / 2), cv2.COLOR_RGB2GRAY)[LIPS]
        for p, m in zip(frames.pixels, marks, strict=True)
    ]
    grey = np.array(lips, np.float64)
    # An open mouth is a dark hole, often with teeth in it.
    dark = (grey < np.percentile(grey, 10)).mean(axis=(1, 2))
    contrast = grey.std(axis=(1, 2))
    grid = np.arange(0, min(sound.size / RATE, frames.times[-1] - start), STEP_S)
    seen = sum(
        syllables(np.interp(grid, frames.times - start, curve)) for curve in (dark, contrast)
    )
    loud = syllables(np.interp(grid, *voice_level(sound)))
    reach = min(round(REACH_S / STEP_S), grid.size // 3)
    lags = np.arange(-reach, reach + 1)
    return lags * STEP_S, np.array(
        [shifted_likeness(np.asarray(seen), loud, int(lag)) for lag in lags]
    )


def voice_level(sound: NDArray[np.floating[Any]]) -> tuple[Floats, Floats]:
    """Times and loudness of the voice's band, every 10 ms: the cube root of its amplitude."""
    band = signal.butter(4, VOICE_HZ, "band", fs=RATE, output="sos")
    power = np.square(signal.sosfiltfilt(band, sound.astype(np.float64)))
    size, hop = round(0.025 * RATE), round(STEP_S * RATE)
    smooth = np.convolve(power, np.ones(size) / size, "same")[::hop]
    return np.arange(smooth.size) * STEP_S, np.maximum(smooth, 0) ** (1 / 6)


def syllables(curve: Floats) -> Floats:
    """The part of a curve that moves as fast as syllables do, at unit deviation."""
    band = signal.butter(2, BAND_HZ, "band", fs=1 / STEP_S, output="sos")
    moved = signal.sosfiltfilt(band, curve)
    unit: Floats = moved / max(float(moved.std()), 1e-9)
    return unit


def shifted_likeness(seen: Floats, heard: Floats, lag: int) -> float:
    """Correlation of what is seen with what is heard `lag` steps later."""
    one, two = (seen[: seen.size - lag], heard[lag:]) if lag >= 0 else (seen[-lag:], heard[:lag])
    one, two = one - one.mean(), two - two.mean()
    return float((one * two).sum() / max(float(np.sqrt((one**2).sum() * (two**2).sum())), 1e-9))


def embeddings(
    net: LipNet, frames: Frames, marks: Floats, sound: NDArray[np.floating[Any]], start: float
) -> tuple[Floats, Floats]:
    """The network's embeddings [N,D] of mouths and of sound, at its own frame rate."""
    config = net.config
    grid = np.arange(start, frames.times[-1], 1 / config.fps)
    nearest = np.abs(frames.times[None] - grid[:, None]).argmin(axis=1)
    scale = config.size[0] * config.eyes_to_mouth
    crops = np.stack([mouth(frames.pixels[i], marks[i], config.size, scale) for i in nearest])
    return net.embed(crops.astype(np.float32) / 255, sound)
