"""Three short films of known levels and clicks, and the ledger that scan to decide make of them."""

from pathlib import Path

import numpy as np
import torch

from curation.files import hash_stream
from curation.media_write import write_clip
from model.vae import FILES, packed
from model.vae_audio import AudioVAE, AudioVAEConfig
from model.vae_video import VideoVAE, VideoVAEConfig
from pipelines.encode import encode
from pipelines.encode_config import EncodeConfig, Rendition
from pipelines.encode_plan import Inputs
from pipelines.ledger import Ledger
from pipelines.storage import DataRoot

INPUTS = Inputs("scan", "verdicts", "caption")
SMALL = Rendition(height=32, width=32, fps=8, frames=17)
CONFIG = EncodeConfig(renditions=(SMALL,), text=("short", "long"), shard_clips=3, workers=1)
FPS, RATE, SECONDS = 24, 16_000, 6
SPANS = ((0.0, 2.125), (2.5, 4.625), (4.75, 5.9))


def write_film(path: Path, seed: int, sound: bool = True) -> None:
    """Frame n has grey level n + 20 + seed; there is a click at every whole second."""
    frames = FPS * SECONDS
    levels = (np.arange(frames) + 20 + seed).astype(np.uint8)
    pixels = np.broadcast_to(levels[:, None, None, None], (frames, 48, 64, 3))
    samples = np.zeros((1, RATE * SECONDS), np.float32)
    samples[0, ::RATE] = 0.9
    write_clip(path, pixels, FPS, samples if sound else None, RATE, crf=4)


def write_films(folder: Path) -> Path:
    """Films 0, 1 and 2; 2 has no sound."""
    for seed in range(3):
        write_film(folder / f"{seed}.mp4", seed, sound=seed != 2)
    return folder


def fill_ledger(root: DataRoot, films: Path, spans=SPANS) -> list[dict]:
    """The ledger as scan, caption and decide leave it: three clips a film, the fourth filtered."""
    ledger = Ledger(root.ledger)
    rows, sources = [], []
    for number, path in enumerate(sorted(films.glob("*.mp4"))):
        with path.open("rb") as handle:
            source = hash_stream(handle)
        stat = path.stat()
        sources.append(
            {"source_id": source, "path": str(path), "bytes": stat.st_size}
            | {
                "mtime_ns": stat.st_mtime_ns,
                "status": "ok",
                "clips": len(spans),
                "fingerprint": "scan",
            }
        )
        for start, end in spans:
            rows.append(
                {"clip_id": f"{source}-{round(start * 1000)}-{round(end * 1000)}"}
                | {"source_id": source, "path": str(path), "start_s": start, "end_s": end}
                | {"has_audio": number != 2, "split": "val" if number == 1 else "train"}
                | {"fingerprint": "scan"}
            )
    ledger.append("sources", sources)
    ledger.append("clips", rows)
    ledger.append(
        "verdicts/verdicts",
        [
            {"clip_id": row["clip_id"], "status": "filtered" if number == 3 else "ok"}
            for number, row in enumerate(rows)
        ],
    )
    words = [{"clip_id": r["clip_id"], "short": f"a film from {r['start_s']}"} for r in rows]
    ledger.append("scores/caption@caption", words)
    return rows


def write_vaes(folder: Path) -> EncodeConfig:
    """Small autoencoders of random weights in `folder`, and CONFIG with them: no test of encoding
    needs good pictures, and these take milliseconds."""
    torch.manual_seed(0)
    small = {"width": 8, "encoder_blocks": 1, "decoder_blocks": 1}
    for kind, vae in (
        ("video", VideoVAE(VideoVAEConfig(**small))),
        ("audio", AudioVAE(AudioVAEConfig(**small))),
    ):
        vae.mean_stat.zero_()
        vae.std_stat.fill_(1)
        (folder / FILES[kind]).write_bytes(packed(vae))
    return CONFIG.model_copy(update={"video_vae": str(folder), "audio_vae": str(folder)})


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a shard set."""
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def encoded(folder: Path, films: Path, config: EncodeConfig) -> DataRoot:
    """A data set in `folder` whose shards were made of the films without a disturbance."""
    root = DataRoot(folder)
    fill_ledger(root, films)
    encode(root, config, INPUTS)
    return root
