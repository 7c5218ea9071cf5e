"""What lies beside a made clip for a quick look: its frames in a row, its sound as a waveform."""

from pathlib import Path

from curation.files import write_bytes
from jobs.clips import Film
from jobs.pictures import strip, waveform, webp


def write_beside(film: Film, path: Path) -> None:
    """`clip-….frames.jpg` of a film and `clip-….sound.webp` of a sound; a picture needs neither."""
    if path.suffix == ".mp4":
        write_bytes(path.with_suffix(".frames.jpg"), strip(film.pixels))
    if path.suffix == ".wav" or (path.suffix == ".mp4" and not film.mute):
        heard = film.samples.mean(axis=0)
        picture = webp(waveform(heard, film.geometry.seconds, film.rate))
        write_bytes(path.with_suffix(".sound.webp"), picture)
