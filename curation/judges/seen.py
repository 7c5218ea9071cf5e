"""What the judges of a clip are shown: sampled frames and the sound, read once for all of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.judges.config import PICTURE, JudgeConfig
from curation.media import Frames, MediaReader, Probe, VideoFacts
from curation.scores import Crop

RATE = 16_000  # what every sound model here was trained on
GROUP_BYTES = 96 << 20  # pixels of one decoding request
GROUP_S = 60.0  # and the span of one sound request
LEAST_SIDE = 16  # pixels of the film; a crop that leaves less is not made

Row = dict[str, Any]
Decode = Callable[..., Frames]  # MediaReader.frames of a film, but for its path


@dataclass(frozen=True)
class Seen:
    """One clip: sampled instants [N] on the film's clock, pixels [N,H,W,3] RGB without the clip's
    bars, sound [S] mono.

    No frames when no judge looks, no samples without a sound track. `all_frames` decodes every
    frame of the clip, for who follows lips.
    """

    clip_id: str
    start: float
    end: float
    times: NDArray[np.float64]
    pixels: NDArray[np.uint8]
    sound: NDArray[np.floating[Any]]
    all_frames: Callable[[], Frames]

    def stills(self, count: int) -> NDArray[np.uint8]:
        """`count` of the frames, evenly spread, first and last among them."""
        places = np.linspace(0, len(self.pixels) - 1, min(count, len(self.pixels)))
        return self.pixels[np.unique(np.round(places).astype(int))]


def instants(start: float, end: float, rate: float, fewest: int) -> NDArray[np.float64]:
    """The middles of equal parts of [start, end): `rate` a second, at least `fewest`."""
    count = max(fewest, round((end - start) * rate))
    return start + (np.arange(count) + 0.5) * (end - start) / count


def look(
    reader: MediaReader, path: str, clips: list[Row], config: JudgeConfig
) -> Iterator[tuple[Row, Seen]]:
    """Each clip of a film (in time order) with what is seen of it. Raises RejectedError."""
    for group in groups(reader.probe(path), clips, config):
        yield from look_at(reader, path, group, config, partial(reader.frames, path))


def groups(probe: Probe, clips: list[Row], config: JudgeConfig) -> list[list[Row]]:
    """The clips of a film (in time order), those together that share one request."""
    found: list[list[Row]] = []
    rest = list(clips)
    while rest:
        _, side, longer = shown(probe.video, rest[0].get("crop"), config.side)
        found.append(take_group(rest, config, side * longer * 3))
        rest = rest[len(found[-1]) :]
    return found


def look_at(
    reader: MediaReader, path: str, group: list[Row], config: JudgeConfig, later: Decode
) -> list[tuple[Row, Seen]]:
    """Each clip of a group with what is seen of it; `later` decodes what is asked for after that.

    What is seen is what the encode pass keeps: `crop` of a clip (shares off top, bottom, left and
    right, or None) is cut off first. Raises RejectedError for the film.
    """
    probe = reader.probe(path)
    crop, side, _ = shown(probe.video, group[0].get("crop"), config.side)
    times = [instants(c["start_s"], c["end_s"], config.rate, config.stills) for c in group]
    frames = None
    if any(name in PICTURE for clip in group for name in clip["judges"]):
        frames = reader.frames(path, short_side=side, times=np.concatenate(times), crop=crop)
    first = group[0]["start_s"]
    sound = None
    if probe.audio is not None and group[0]["has_audio"]:
        sound = reader.sound(path, RATE, first, group[-1]["end_s"], mono=True).samples[0]
    found, place = [], 0
    for clip, asked in zip(group, times, strict=True):
        here = slice(place, place + len(asked))
        place += len(asked)
        begin = round((clip["start_s"] - first) * RATE)
        length = round((clip["end_s"] - clip["start_s"]) * RATE)
        seen = Seen(
            clip["clip_id"],
            clip["start_s"],
            clip["end_s"],
            asked if frames is not None else np.zeros(0),
            frames.pixels[here] if frames else np.zeros((0, 1, 1, 3), np.uint8),
            np.zeros(0, np.float32) if sound is None else sound[begin : begin + length],
            every_frame(later, clip, side, crop),
        )
        found.append((clip, seen))
    return found


def shown(
    video: VideoFacts | None, crop: list[float] | None, side: int
) -> tuple[Crop | None, int, int]:
    """The crop to make, and the sides (short, long) in pixels of what is then looked at.

    A crop that leaves next to nothing is not made: such clips are dropped for their bars, and the
    other clips of the film must not fail with them. Nothing is looked at larger than it is.
    """
    if video is None:
        return None, side, side
    top, bottom, left, right = crop or (0.0,) * 4
    height, width = video.height * (1 - top - bottom), video.width * (1 - left - right)
    if min(height, width) < LEAST_SIDE:
        top = bottom = left = right = 0.0
        height, width = video.height, video.width
    shorter = max(1, int(min(side, height, width)))
    longer = round(shorter * max(height, width) / min(height, width))
    box = (top, bottom, left, right)
    return box if any(box) else None, shorter, longer


def every_frame(decode: Decode, clip: Row, side: int, crop: Crop | None) -> Callable[[], Frames]:
    """A function that decodes all frames of the clip."""
    return lambda: decode(short_side=side, start=clip["start_s"], end=clip["end_s"], crop=crop)


def take_group(clips: list[Row], config: JudgeConfig, frame_bytes: int) -> list[Row]:
    """The first clips, so many as one request may hold, all with one crop; at least one."""
    group: list[Row] = []
    frames = 0
    for clip in clips:
        frames += len(instants(clip["start_s"], clip["end_s"], config.rate, config.stills))
        far = clip["end_s"] - clips[0]["start_s"] > GROUP_S
        other = clip.get("crop") != clips[0].get("crop")
        if group and (far or other or frames * frame_bytes > GROUP_BYTES):
            break
        group.append(clip)
    return group
