"""Small copies of the clips that the page shows, made once and kept in `<data>/previews/`.

A preview is named by its clip, whose id holds the film's hash, so a later report finds it again;
what a report does not show any more, it removes.
"""

import os
import queue
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curation.files import fingerprint, write_bytes
from curation.film_spans import film_spans
from curation.media import Limits, MediaReader
from curation.media_write import write_clip
from curation.places import Place, folders, remove
from curation.records import Reason, RejectedError
from jobs.pictures import jpeg, strip
from jobs.report.media import LONGEST_S, RATE, Preview, read_film, sound_picture

SIDE = 180  # pixels of the short side
CRF, BITRATE = 30, 48_000
FPS = 30.0  # above that every other frame is left out
FILES = (CLIP := "clip.mp4", "poster.jpg", "frames.jpg", "sound.webp")
WORKERS = 4  # decoders at once; each has a child process of its own
LOOK = fingerprint([SIDE, CRF, BITRATE, FPS, LONGEST_S, "frames 4 x 100, wave 44 + mel 64 x 360"])


@dataclass(frozen=True)
class Span:
    """A part of a film; `bytes` and `mtime_ns` are those of the film that was scanned."""

    key: str  # clip_id, or <source_id>-film for the beginning of a film
    source_id: str
    path: str
    start: float
    end: float
    bytes: int
    mtime_ns: int


def previews(
    spans: Sequence[Span], folder: Place, limits: Limits
) -> Iterator[tuple[Span, Preview | RejectedError]]:
    """Each span with its preview or why there is none, in order."""
    workers = max(1, min(WORKERS, os.cpu_count() or 1, len(spans)))
    readers: queue.Queue[MediaReader] = queue.Queue()
    with ExitStack() as closing, ThreadPoolExecutor(workers) as pool:
        for _ in range(workers):
            readers.put(closing.enter_context(MediaReader(limits)))

        def work(span: Span) -> Preview | RejectedError:
            reader = readers.get()
            try:
                return kept(folder, span) or make(reader, folder, span)
            except RejectedError as error:
                return error
            finally:
                readers.put(reader)

        yield from zip(spans, pool.map(work, spans), strict=True)


def prune(folder: Place, keys: Iterable[str]) -> None:
    """Remove previews that are not among these keys, or look otherwise than today's."""
    wanted = {f"{key}-{LOOK}" for key in keys}
    for path in folders(folder):
        if path.name not in wanted:
            remove(path)


def kept(folder: Place, span: Span) -> Preview | None:
    """The preview that an earlier report made; the clip is written last."""
    place = folder / f"{span.key}-{LOOK}"
    if not (place / CLIP).is_file():
        return None
    clip, poster, frames, sound = ((place / name).read_bytes() for name in FILES)
    return Preview(clip, poster, frames, sound, length(span))


def length(span: Span) -> float:
    """Seconds that are shown."""
    return min(span.end - span.start, LONGEST_S)


def make(reader: MediaReader, folder: Place, span: Span) -> Preview:
    """Cut the span out of its film. Raises RejectedError, also for a film that has changed."""
    scanned = {key: getattr(span, key) for key in ("path", "source_id", "bytes", "mtime_ns")}
    shown = [(span.start, span.start + length(span))]
    with film_spans(reader, scanned, lambda _: shown) as path:
        film = read_film(reader, path, span.start, span.end, SIDE)
    step = max(1, round(film.fps / FPS))
    pixels = film.pixels[::step]
    if not len(pixels):
        raise RejectedError(Reason.CORRUPT, "no frame could be read")
    heard = None
    if film.samples is not None and film.samples.size:
        heard = np.nan_to_num(film.samples)
    with tempfile.TemporaryDirectory() as place:
        small = Path(place) / "clip.mp4"
        fps = film.fps / step
        try:
            write_clip(small, pixels, fps, heard, RATE, crf=CRF, audio_bitrate=BITRATE)
        except ValueError as error:  # a picture of one row, which 4:2:0 cannot hold
            raise RejectedError(Reason.CORRUPT, str(error)) from error
        video = small.read_bytes()
    sound = b"" if heard is None else sound_picture(heard[0], length(span))
    made = Preview(video, jpeg(pixels[0]), strip(pixels), sound, length(span))
    parts = (made.video, made.poster, made.frames, made.sound)
    for name, data in reversed(list(zip(FILES, parts, strict=True))):
        write_bytes(folder / f"{span.key}-{LOOK}" / name, data)
    return made
