"""Write a world's films to a folder, in parallel, doing only what is missing."""

import json
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from curation.files import fingerprint, sweep, write_json
from curation.media_write import transcode, write_clip
from curation.progress import progress
from curation.world.config import WorldConfig
from curation.world.defects import truncate
from curation.world.film import Film, make_film
from curation.world.speech import voice_name

WORLD_VERSION = 5  # raised when the same settings give other films
WORTH_S = 8.0  # CPU seconds that pay for starting processes (1 to 3 s each on a busy machine)
BAD_CRF, BAD_BITRATE = 38, 24_000  # of the defect `reencode`


def world_fingerprint(config: WorldConfig) -> str:
    """Names what a film depends on besides its number; more films do not change the others."""
    unset = {name for name in ("never", "only") if not getattr(config, name)}
    values = config.model_dump(mode="json", exclude={"films", *unset})
    voice = f"{voice_name()} with words" if config.speech and voice_name() else None
    return fingerprint({"version": WORLD_VERSION, "voice": voice, **values})


def film_path(folder: Path, index: int) -> Path:
    """The mp4 of film `index`; `.captions.json` and `.truth.json` stand beside it."""
    return folder / f"film-{index:05d}.mp4"


def write_films(config: WorldConfig, folder: Path, workers: int = 1) -> list[Path]:
    """Write the films that are not there yet; return the paths of all, in order.

    A film counts as written when its truth, written last, names these settings and its file's size.
    """
    sweep(folder)
    name = world_fingerprint(config)
    missing = [i for i in range(config.films) if not is_written(folder, i, name)]
    with progress("films", config.films) as advance:
        advance(config.films - len(missing))
        for index in work(config, folder, missing, workers):
            advance(1, film_path(folder, index).name)
    return [film_path(folder, i) for i in range(config.films)]


def work(config: WorldConfig, folder: Path, missing: list[int], workers: int) -> Iterator[int]:
    """Write films here or in spawned processes; yields each number when it is done.

    The CPU time of films is taken here, but for the first, which also warms up: processes start
    only where they save more than they cost. Wall time would count other work on the machine.
    """
    rest = iter(missing)
    start = 0.0
    for done, index in enumerate(rest):
        yield write_film(config, folder, index)
        start = start or time.process_time()
        left = (time.process_time() - start) / max(done, 1) * (len(missing) - done - 1)
        if workers > 1 and done and left > WORTH_S:
            break
    missing = list(rest)
    if not missing:
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        jobs = [pool.submit(write_film, config, folder, index) for index in missing]
        try:
            for job in as_completed(jobs):
                yield job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def write_film(config: WorldConfig, folder: Path, index: int) -> int:
    """Write one film: mp4, captions, and its truth last."""
    film = make_film(config, index)
    path = film_path(folder, index)
    marker = path.with_suffix(".truth.json")
    marker.unlink(missing_ok=True)
    write_media(film, path, config.crf)
    write_json(path.with_suffix(".captions.json"), film.captions)
    facts = {"fingerprint": world_fingerprint(config), "bytes": path.stat().st_size}
    write_json(marker, {**film.truth, "file": facts})
    return index


def write_media(film: Film, path: Path, crf: int) -> None:
    """Write the mp4, with the defect of the file where one is planted."""
    kinds = {defect["kind"]: defect for defect in film.truth["defects"]}
    lost = set(kinds["drops"]["frames"]) if "drops" in kinds else set()
    numbers = [n for n in range(len(film.pixels)) if n not in lost]
    pixels = film.pixels[numbers] if lost else film.pixels
    write_clip(path, pixels, film.fps, film.samples, film.rate, crf, numbers=numbers)
    if "reencode" in kinds:
        transcode(path, path, crf=BAD_CRF, audio_bitrate=BAD_BITRATE)
    if "truncate" in kinds:
        truncate(path, kinds["truncate"]["keep"])


def is_written(folder: Path, index: int, name: str) -> bool:
    """Whether film `index` is there whole and of these settings."""
    path = film_path(folder, index)
    try:
        facts = json.loads(path.with_suffix(".truth.json").read_text())["file"]
        size = path.stat().st_size
    except (OSError, ValueError, KeyError):
        return False
    there = path.with_suffix(".captions.json").is_file()
    return bool(facts == {"fingerprint": name, "bytes": size} and there)
