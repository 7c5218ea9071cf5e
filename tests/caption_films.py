"""Films whose every clip has a colour and a number of clicks of its own, and a scanned ledger."""

import numpy as np

from curation.files import hash_stream
from curation.media_write import write_clip
from pipelines.ledger import Ledger
from tests.caption_server import COLOURS

FP = "f" * 12
FPS, RATE, CLIP_S = 8, 16_000, 1.0


def truth(film, part):
    """(colour, clicks) of a clip: no two clips of 8 films of 8 clips are alike."""
    names = list(COLOURS)
    return names[(film + part) % len(names)], part % 4 + 4 * (film % 2) + 1


def write_films(folder, films=3, parts=6):
    for film in range(films):
        pixels, samples = [], np.zeros(int(RATE * CLIP_S * parts), np.float32)
        for part in range(parts):
            name, clicks = truth(film, part)
            pixels.append(np.full((int(FPS * CLIP_S), 48, 64, 3), COLOURS[name], np.uint8))
            for click in range(clicks):
                at = int(RATE * CLIP_S * (part + (click + 0.5) / clicks))
                samples[at : at + 80] = 0.8 * np.sin(np.arange(80) / 2)
        write_clip(folder / f"{film}.mp4", np.concatenate(pixels), FPS, samples[None], RATE, crf=10)
    return folder


def scanned(ledger, folder, parts=6, fingerprint=FP):
    """The tables that a scan leaves; returns {clip_id: (colour, clicks)}."""
    known = {}
    for film, path in enumerate(sorted(folder.glob("*.mp4"))):
        with path.open("rb") as handle:
            source = hash_stream(handle)
        stat = path.stat()
        ledger.append("sources", [{"path": str(path), "source_id": source, "status": "ok",
                                   "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns,
                                   "clips": parts, "fingerprint": fingerprint}])  # fmt: skip
        rows = []
        for part in range(parts):
            clip = f"{source}-{part * 1000}-{part * 1000 + 1000}"
            known[clip] = truth(film, part)
            rows.append({"clip_id": clip, "source_id": source, "path": str(path),
                         "start_s": part * CLIP_S, "end_s": (part + 1) * CLIP_S,
                         "has_audio": True, "fingerprint": fingerprint})  # fmt: skip
        ledger.append("clips", rows)
        ledger.append(f"scores/scan@{fingerprint}", [{"clip_id": r["clip_id"]} for r in rows])
    return known


def fresh(folder, films, parts=6):
    """A ledger of those films in `folder`, and the truth of its clips."""
    ledger = Ledger(folder / "ledger")
    return ledger, scanned(ledger, films, parts)
