"""One film measured: decoded once at low resolution, cut into clips, every clip scored."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from curation.film_config import FilmConfig
from curation.freeze import AROUND_S, Heard, freeze_s
from curation.look import look
from curation.media import MediaReader, Probe
from curation.overlay import MOST, overlay_scores
from curation.picture import picture_scores
from curation.records import Reason, RejectedError, clip_id
from curation.scores import SCORES, crop_of
from curation.shots import Net, ShotFinder
from curation.sight import Sight, Track
from curation.sound import sound_scores
from curation.sound_marks import sound_marks
from curation.sync import film_sync, sync_scores

CHUNK_BYTES = 96 << 20  # pixels of one decoding request: 24 s of 228x128 at 48 frames a second
SOUND_SPAN_S = 60.0  # of one sound request: 23 MB at 48 kHz stereo
SOUND_RATES = (8_000, 48_000)
ROUNDING = 6  # significant digits: more would write down the last bit of a library's sums

Row = dict[str, Any]
Cut = Callable[[float, float], list[tuple[float, int]]]  # shot -> (start, frames) of its clips


@dataclass(frozen=True)
class Film:
    """What a scan knows about a film: header facts, clip rows and score rows in the same order."""

    facts: Row
    clips: list[Row] = field(default_factory=list)
    scores: list[Row] = field(default_factory=list)


def measure_film(
    reader: MediaReader,
    path: str,
    source_id: str,
    config: FilmConfig,
    cut: Cut,
    grid_fps: float,
    net: Net | None,
) -> Film:
    """Decode `path` once and score its clips. Raises RejectedError when the film is refused.

    Besides the one decode at low resolution one keyframe a clip is read at full size.
    """
    probe = reader.probe(path)
    if probe.video is None:
        raise RejectedError(Reason.NO_VIDEO, f"{probe.container} without a picture")
    finder = None if config.shots == "stride" else ShotFinder(config.shot_threshold, net)
    sight = Sight(probe.seconds)
    size = (0, 0)
    for times, pixels in stretches(reader, path, probe, config.short_side):
        size = pixels.shape[1:3]
        sight.feed(times, pixels)
        if finder:
            finder.feed(times, pixels)
    track, stills = sight.track(), sight.stills()
    if not len(track.times):
        raise RejectedError(Reason.CORRUPT, "no picture could be decoded")
    shots = finder.shots() if finder else [(0.0, film_end(track))]
    facts = film_facts(probe) | {
        "shots": len(shots),
        "shot_method": config.shot_method,
        "seconds": round(film_end(track), 3),
    }
    clips = [
        {
            "clip_id": clip_id(source_id, start, start + frames / grid_fps),
            "source_id": source_id,
            "start_s": start,
            "end_s": start + frames / grid_fps,
            "frames": frames,
            "fps": probe.video.fps,
            "width": probe.video.width,
            "height": probe.video.height,
            "has_audio": probe.audio is not None,
            "drift_ms": drift_ms(probe, start, start + frames / grid_fps),
            "shot": number,
        }
        for number, shot in enumerate(shots)
        for start, frames in cut(*shot)
    ]
    scores = []
    looks = with_look(reader, path, clips, shots)
    for (clip, sound, heard), picture in zip(
        with_sound(reader, path, probe, clips), looks, strict=True
    ):
        row = {"clip_id": clip["clip_id"]} | score_clip(track, size, clip, sound, heard.rate)
        start, end = shots[clip["shot"]]
        row["freeze_s"] = freeze_s(track.between(start, end), clip["start_s"], clip["end_s"], heard)
        box = inside_bars(picture, row)
        row |= look(picture[box], (box[0].start, box[1].start))
        here = stills.between(clip["start_s"], clip["end_s"])
        others = stills.outside(start, end)
        lumas, other = (
            [without_bars(p, row) for p in s.spread(MOST).lumas] for s in (here, others)
        )
        row |= overlay_scores(lumas, other, camera_path(track, clip, size[0]))
        scores.append(row)
    agreed = film_sync(scores)
    return Film(facts, clips, [rounded(row | agreed) for row in scores])


def stretches(
    reader: MediaReader, path: str, probe: Probe, short_side: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All frames in order, (times [N], pixels [N,H,W,3]), so many at once as CHUNK_BYTES hold.

    A film smaller than `short_side` is not enlarged.
    """
    assert probe.video is not None
    width, height = probe.video.width, probe.video.height
    side = min(short_side, width, height)
    frame_bytes = 3 * side * side * max(width, height) / max(1, min(width, height))
    seconds = max(1.0, CHUNK_BYTES / frame_bytes / max(1.0, probe.video.fps))
    start = 0.0
    while True:
        frames = reader.frames(path, short_side=side, start=start, end=start + seconds)
        if len(frames.times):
            yield frames.times, frames.pixels
        start += seconds
        if start >= probe.seconds and not len(frames.times):
            return


def film_end(track: Track) -> float:
    """When the last frame leaves the screen."""
    steps = np.diff(track.times)
    return float(track.times[-1] + (np.median(steps) if steps.size else 0.04))


def film_facts(probe: Probe) -> Row:
    """Header facts as columns of the sources table."""
    video, audio = probe.video, probe.audio
    facts: Row = {"container": probe.container}
    if video:
        facts |= {
            "width": video.width,
            "height": video.height,
            "fps": video.fps,
            "video_codec": video.codec,
        }
    if audio:
        facts |= {
            "audio_codec": audio.codec,
            "audio_rate": audio.rate,
            "channels": audio.channels,
        }
    return facts


def drift_ms(probe: Probe, start: float, end: float) -> float | None:
    """How much of [start, end) the sound track misses: + at its start, - at its end, null without.

    Both streams are cut on one clock, so this is the only way in which they can part.
    """
    if probe.audio is None or probe.video is None:
        return None
    begins = probe.audio.start - probe.video.start
    ends = begins + probe.audio.seconds if probe.audio.seconds else end
    late = max(0.0, min(begins, end) - start) * 1000
    short = max(0.0, end - max(ends, start)) * 1000
    return round(late if late >= short else -short, 1) + 0.0


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


def without_bars(picture: np.ndarray, scores: Row) -> np.ndarray:
    """The picture [H,W,…] inside the clip's bars."""
    return picture[inside_bars(picture, scores)]


def inside_bars(picture: np.ndarray, scores: Row) -> tuple[slice, slice]:
    """Rows and columns of a picture [H,W,…] inside the clip's bars; all, if little is left."""
    height, width = picture.shape[:2]
    top, bottom, left, right = crop_of(scores) or (0.0,) * 4
    rows = slice(round(top * height), height - round(bottom * height))
    columns = slice(round(left * width), width - round(right * width))
    if min(rows.stop - rows.start, columns.stop - columns.start) < 16:
        return slice(0, height), slice(0, width)
    return rows, columns


def camera_path(track: Track, clip: Row, height: int) -> float:
    """Heights that the camera travels within a clip."""
    inside = track.between(clip["start_s"], clip["end_s"])
    return float(np.hypot(inside["camera_x"], inside["camera_y"]).sum() / height)


def score_clip(
    track: Track, size: tuple[int, int], clip: Row, samples: np.ndarray, rate: int
) -> Row:
    """Scores of a clip from all its frames, of `size` (height, width), and its sound.

    What is not available is null.
    """
    inside = track.between(clip["start_s"], clip["end_s"])
    scores: Row = dict.fromkeys(SCORES)
    scores |= picture_scores(inside, *size)
    scores |= sound_scores(samples, rate)
    if samples.size:
        mono = samples.mean(axis=0, dtype=np.float64)
        scores |= sync_scores(inside, mono, rate, clip["start_s"])
        scores["sound_marks"] = sound_marks(mono, rate)
    return scores


def rounded(row: Row) -> Row:
    """Numbers at ROUNDING significant digits; NaN and Inf are not measurements but null."""
    return {
        name: (float(f"{value:.{ROUNDING}g}") + 0.0 if np.isfinite(value) else None)
        if isinstance(value, float)
        else value
        for name, value in row.items()
    }
