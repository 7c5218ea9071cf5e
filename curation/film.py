"""One film measured: decoded once at low resolution, cut into clips, every clip scored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from curation.film_config import FilmConfig
from curation.film_parts import WHOLE, Measured, Part, around, in_order, seam, shots_of
from curation.film_reading import stretches, with_look, with_sound
from curation.freeze import freeze_s
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
    """Decode `path` once and score its clips. Raises RejectedError when the film is refused."""
    return joined([measure_part(reader, path, source_id, config, cut, grid_fps, net)])


def measure_part(
    reader: MediaReader,
    path: str,
    source_id: str,
    config: FilmConfig,
    cut: Cut,
    grid_fps: float,
    net: Net | None,
    part: Part = WHOLE,
) -> Measured:
    """Decode a part of `path` once and score its clips. Raises RejectedError.

    Besides the one decode at low resolution one keyframe a clip is read at full size.
    """
    probe = reader.probe(path)
    if probe.video is None:
        raise RejectedError(Reason.NO_VIDEO, f"{probe.container} without a picture")
    span = part.span(probe.seconds)
    if span is None:
        return Measured()
    begin, last = around(span, probe.video.fps)
    finder = None if config.shots == "stride" else ShotFinder(config.shot_threshold, net)
    sight = Sight((last or probe.seconds) - begin)
    size = (0, 0)
    for times, pixels in stretches(reader, path, probe, config.short_side, begin, last):
        size = pixels.shape[1:3]
        sight.feed(times, pixels)
        if finder:
            finder.feed(times, pixels)
    track, stills = sight.track(), sight.stills()
    facts = film_facts(probe) | {"shot_method": config.shot_method} if part.number == 0 else {}
    if not len(track.times):
        if part.number == 0:
            raise RejectedError(Reason.CORRUPT, "no picture could be decoded")
        return Measured()
    found = finder.shots() if finder else [(begin, film_end(track))]
    start = seam(span[0], found) if part.number else 0.0
    end = film_end(track) if span[1] is None else seam(span[1], found)
    shots = [shot for shot in found if shot[1] > start and shot[0] < end]
    clips = [
        {
            "clip_id": clip_id(source_id, at, at + frames / grid_fps),
            "source_id": source_id,
            "start_s": at,
            "end_s": at + frames / grid_fps,
            "frames": frames,
            "fps": probe.video.fps,
            "width": probe.video.width,
            "height": probe.video.height,
            "has_audio": probe.audio is not None,
            "drift_ms": drift_ms(probe, at, at + frames / grid_fps),
            "shot": number,
        }
        for number, shot in enumerate(shots)
        for at, frames in cut(max(shot[0], start), min(shot[1], end))
    ]
    scores = []
    looks = with_look(reader, path, clips, shots)
    for (clip, sound, heard), picture in zip(
        with_sound(reader, path, probe, clips), looks, strict=True
    ):
        row = {"clip_id": clip["clip_id"]} | score_clip(track, size, clip, sound, heard.rate)
        shot = shots[clip["shot"]]
        row["freeze_s"] = freeze_s(track.between(*shot), clip["start_s"], clip["end_s"], heard)
        box = inside_bars(picture, row)
        row |= look(picture[box], (box[0].start, box[1].start))
        here = stills.between(clip["start_s"], clip["end_s"])
        lumas, other = (
            [without_bars(p, row) for p in s.spread(MOST).lumas]
            for s in (here, stills.outside(*shot))
        )
        row |= overlay_scores(lumas, other, camera_path(track, clip, size[0]))
        scores.append(row)
    continues = bool(shots) and shots[0][0] < start
    return Measured(facts, len(shots), continues, film_end(track), clips, scores)


def joined(parts: Sequence[Measured]) -> Film:
    """The film whose parts these are, in order, with what all its clips agree on."""
    clips, scores = in_order(parts)
    seconds = max(part.seconds for part in parts)
    facts = parts[0].facts | {"shots": shots_of(parts), "seconds": round(seconds, 3)}
    agreed = film_sync(scores)
    return Film(facts, clips, [rounded(row | agreed) for row in scores])


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
