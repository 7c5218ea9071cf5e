"""What the scan reads of a film: its frames in stretches, its sound and one picture a clip."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from curation.freeze import AROUND_S, Heard
from curation.media import MediaReader, Probe

CHUNK_BYTES = 96 << 20  # pixels of one decoding request: 24 s of 228x128 at 48 frames a second
SOUND_SPAN_S = 60.0  # of one sound request: 23 MB at 48 kHz stereo
SOUND_RATES = (8_000, 48_000)

Row = dict[str, Any]


def stretches(
    reader: MediaReader,
    path: str,
    probe: Probe,
    short_side: int,
    start: float = 0.0,
    last: float | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Frames from `start` to `last` (default: all that follow) in order: (times [N],
    pixels [N,H,W,3]), so many at once as CHUNK_BYTES hold.

    A film smaller than `short_side` is not enlarged.
    """
    assert probe.video is not None
    width, height = probe.video.width, probe.video.height
    side = min(short_side, width, height)
    frame_bytes = 3 * side * side * max(width, height) / max(1, min(width, height))
    seconds = max(1.0, CHUNK_BYTES / frame_bytes / max(1.0, probe.video.fps))
    while last is None or start < last:
        end = start + seconds if last is None else min(start + seconds, last)
        frames = reader.frames(path, short_side=side, start=start, end=end)
        if len(frames.times):
            yield frames.times, frames.pixels
        start = end
        if start >= probe.seconds and not len(frames.times):
            return


def with_sound(
    reader: MediaReader, path: str, probe: Probe, clips: list[Row]
) -> Iterator[tuple[Row, np.ndarray, Heard]]:
    """Each clip with its sound [channels,N] (no channels where there is none), and what is heard
    around it as far as it was read. Neighbouring clips share one read.
    """
    if probe.audio is None:
        nothing = Heard(np.zeros((0, 0), np.float32), SOUND_RATES[0], 0.0)
        yield from ((clip, nothing.samples, nothing) for clip in clips)
        return
    rate = min(max(probe.audio.rate, SOUND_RATES[0]), SOUND_RATES[1])
    rest = list(clips)
    while rest:
        first = rest[0]["start_s"]
        group = [c for c in rest if c["end_s"] <= max(first + SOUND_SPAN_S, rest[0]["end_s"])]
        rest = rest[len(group) :]
        begins = max(0.0, first - AROUND_S)
        sound = reader.sound(path, rate, begins, group[-1]["end_s"] + AROUND_S)
        for clip in group:
            begin = round((clip["start_s"] - begins) * rate)
            end = begin + round((clip["end_s"] - clip["start_s"]) * rate)
            around = round(AROUND_S * rate)
            early = max(0, begin - around)
            heard = Heard(sound.samples[:, early : end + around], rate, begins + early / rate)
            yield clip, sound.samples[:, begin:end], heard


def with_look(
    reader: MediaReader, path: str, clips: list[Row], shots: list[tuple[float, float]]
) -> Iterator[np.ndarray]:
    """One full-size picture [H,W,3] of each clip.

    It is the last keyframe before the clip's end if that lies in the clip's shot, else the picture
    in the clip's middle, which costs the decoding of all since the keyframe before it.
    """
    ends = [clip["end_s"] - 1e-3 for clip in clips]
    keys = reader.keyframes(path, ends) if clips else []
    for clip, key in zip(clips, keys, strict=True):
        inside = key is not None and key >= shots[clip["shot"]][0] - 1e-3
        at = key if key is not None and inside else (clip["start_s"] + clip["end_s"]) / 2
        yield reader.frames(path, times=[at]).pixels[0]
