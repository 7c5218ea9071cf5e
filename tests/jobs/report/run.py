"""A small run for the report: real films, a ledger with kept, dropped and refused, a log."""

import json
from pathlib import Path

from curation.files import write_json
from curation.world.config import WorldConfig
from curation.world.films import write_films
from jobs.config import Recipe, make_recipe
from pipelines.ledger import Ledger
from pipelines.verdicts import decide

RULES = [
    {"score": "frozen_share", "max": 0.6},
    {"score": "silence_share", "max": 0.95},
    {"name": "still or loud", "any": [{"score": "motion", "min": 0.05},
                                      {"score": "loudness_lufs", "min": -30}]},
]  # fmt: skip
PLAIN = "a red ball falls and bounces"


def build(out: Path, text: str = PLAIN, films: int = 6, rules: list | None = None) -> Recipe:
    """Clip 1 stands still; every stranger's text in the tables is `text`."""
    policy = {
        "rules": rules or RULES,
        "phases": {"high": {"rules": [{"score": "motion", "min": 0.2}]}},
    }
    recipe = make_recipe({"name": "trial", "out": str(out), "policy": policy}, "test")
    paths = write_films(WorldConfig(films=films), out / "films")
    ledger = Ledger(recipe.data.ledger)
    scan, told = recipe.scan.fingerprint(), recipe.caption.fingerprint()
    clips, scores, captions, sources = [], [], [], []
    for index, path in enumerate(paths):
        source_id, stat = f"{index:016x}", path.stat()
        clip_id = f"{source_id}-0-2125"
        shared = {"source_id": source_id, "path": str(path), "fingerprint": scan}
        facts = {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "seconds": 2.125}
        sources.append(shared | facts | {"status": "ok", "clips": 1, "licence": text})
        span = {"start_s": 0.0, "end_s": 2.125, "frames": 17, "fps": 8.0, "width": 64, "height": 64}
        facts = {"has_audio": True, "drift_ms": 0.0, "shot": 0, "split": "train"}
        clips.append({"clip_id": clip_id} | shared | span | facts)
        scores.append(
            {"clip_id": clip_id, "has_sound": 1.0, "silence_share": 0.1 * index, "contrast": 0.1}
            | {"clipped_share": 0.0, "black_share": 0.0, "frozen_share": 0.9 if index == 1 else 0.1}
            | {"bars": 0.0, "brightness": 0.5, "motion": 0.1 + index / 10, "colours": text}
            | {"sync_offset_ms": 40.0, "sync_confidence": 3.5, "sync_floor_ms": 30.0}
        )
        captions.append(
            {"clip_id": clip_id, "short": text, "long": text, "provenance": text}
            | {"structured": f"<text>{text}</text><sfx>{text}</sfx>"}
        )
    refused = {"source_id": None, "status": "failed", "clips": 0, "bytes": 0, "fingerprint": scan}
    name = text.replace("/", "_")
    sources.append(refused | {"path": f"/films/{name}", "reason": "corrupt", "detail": text})
    ledger.append("sources", sources)
    ledger.append("clips", clips)
    ledger.append(f"scores/scan@{scan}", scores)
    ledger.append(f"scores/caption@{told}", captions)
    decide(recipe.policy, ledger, scan)
    return recipe


def train(recipe: Recipe, text: str = PLAIN) -> None:
    """A log of 100 steps, and generated clips, which are the films."""
    lines = [
        {"kind": "step", "step": k, "time": float(k), "loss": 2.0 / (1 + k / 20), "loss/video": 1.0,
         "loss/audio": 1.0, "task/text_to_av/video": 1.0, "level/0/video": 1.5}
        for k in range(1, 101)
    ]  # fmt: skip
    (recipe.out / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for index, path in enumerate(sorted((recipe.out / "films").glob("*.mp4"))):
        clip = recipe.out / "clips" / f"clip-{index}.mp4"
        clip.parent.mkdir(exist_ok=True)
        clip.write_bytes(path.read_bytes())
        write_json(clip.with_suffix(".json"), {"prompt": text, "seed": index})
