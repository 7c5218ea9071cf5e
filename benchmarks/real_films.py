"""The whole route on the sample films: what a tiny network makes of clips that it never saw.

`python -m benchmarks.real_films [--steps 600] [--clips 24] [--out FOLDER]` cuts the sample films
(jobs/samples.py) into films of 20 s, curates them with jobs/recipes/films.yaml, trains, and lets
`reelmill generate` go on from the first half of held-out clips and make the sound for their
pictures. `reelmill evaluate` measures both against the real clips, and beside them what bounds
them: the clips through the embedded autoencoders (which no network on them can beat), the clips
with each other's sounds, and clips whose picture stands still and whose sound ends where an
extension begins. Every verb resumes: the same command again makes nothing twice. The ratio is how
far the made sounds' Fréchet distance from the real ones is that of the clips through the
autoencoders.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from benchmarks.real_clips import parts
from curation.assets import cache
from curation.files import write_bytes, write_json, write_text
from curation.media import MediaReader
from curation.media_write import write_clip
from curation.progress import say
from curation.rendition import picture, sound
from jobs.clips import encode_frames
from jobs.evaluating.page import short
from jobs.proving.kept import psnr
from jobs.proving.page import machine
from jobs.proving.tables import estimate
from jobs.samples import fetch
from model.vae import load_audio_vae, load_video_vae
from pipelines.contract import find_set
from pipelines.ledger import Ledger
from pipelines.stream import Reader

RECIPE = "jobs/recipes/films.yaml"
FILMS = ("bbb", "trailer_bbb", "jwpIntro", "default")
PART_S, SIDE = 20.0, 192
FPS, FRAMES, SIZE, RATE = 8, 17, 64, 16_000  # of the recipe's rendition
DRAWN = 6  # clips in the picture
GIVEN = 9  # frames that an extension goes on from
CRF = 12
JUDGES = "[looks, embed, events]"  # the others need voices, faces or text, of which there is little
TASKS = "{text_to_av: 0.3, image_to_av: 0.1, extend: 0.3, video_to_audio: 0.3}"
CODED, SWAPPED, HELD = "autoencoders", "another's sound", "held, then silent"
LONGER, HEARD = "extension", "sound for a picture"
MODEL = "{patch: 1}"  # of 8x8 pixels: with 2 what is made falls apart into squares of 16

Cut = tuple[NDArray[np.uint8], NDArray[np.float32]]  # [F,H,W,3] and [channels,S] in -1...1
Row = dict[str, Any]


def verb(name: str, out: Path, *words: str) -> None:
    """One `reelmill` verb on the recipe, as a person types it."""
    command = [sys.executable, "-m", "jobs.cli", name, RECIPE, *words, "--out", str(out)]
    subprocess.run(command, check=True)  # noqa: S603 - our own words


def held_out(run: Path, count: int) -> list[Row]:
    """Encoded clips of films that no training clip is from, spread over them, with captions."""
    place = run / "data"
    films = {row["clip_id"]: row for row in Ledger(place / "ledger").rows("clips")}
    reader = Reader(find_set(place / "shards"))
    infos = [
        reader.sample(row).info
        for row, split in enumerate(reader.columns["split"].to_pylist())
        if split == "val"
    ]
    reader.close()
    rows = [films[i["clip_id"]] | {"prompt": i["captions"]["short"]} for i in infos]
    rows.sort(key=lambda row: (row["path"], row["start_s"]))
    chosen = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return [rows[n] for n in chosen]


def read(rows: list[Row]) -> list[Cut]:
    """The clips as the network sees them."""
    length = round(FRAMES / FPS * RATE)
    with MediaReader() as reader:
        return [
            (
                picture(reader, row["path"], row["start_s"], (FRAMES, SIZE, SIZE), FPS),
                sound(reader, row["path"], row["start_s"], length, RATE),
            )
            for row in rows
        ]


@torch.inference_mode()
def coded(cuts: list[Cut]) -> list[Cut]:
    """The clips through the embedded autoencoders."""
    video, audio = load_video_vae(), load_audio_vae()
    found = []
    for pixels, samples in cuts:
        back = video.decode(encode_frames(video, pixels)[None])[0].permute(1, 2, 3, 0)
        shown = ((back + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
        again = audio.decode(audio.encode(torch.from_numpy(samples)[None]), samples.shape[1])[0]
        found.append((shown, again.numpy().astype(np.float32)))
    return found


def held(cut: Cut) -> Cut:
    """What knows nothing of going on: the last given picture stays, and nothing is heard."""
    pixels, samples = cut[0].copy(), cut[1].copy()
    pixels[GIVEN:] = pixels[GIVEN - 1]
    samples[:, round(GIVEN / FPS * RATE) :] = 0
    return pixels, samples


def begun(cut: Cut) -> Cut:
    """The half that an extension is given."""
    return cut[0][:GIVEN], cut[1][:, : round(GIVEN / FPS * RATE)]


def write(rows: list[Row], cuts: list[Cut], folder: Path) -> list[Path]:
    """Clips with the words and the seed by which `evaluate` pairs them."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for n, (row, (pixels, samples)) in enumerate(zip(rows, cuts, strict=True)):
        path = folder / f"{n:03d}.mp4"
        write_clip(path, pixels, FPS, samples, RATE, CRF)
        write_json(path.with_suffix(".json"), {"prompt": row["prompt"], "seed": n})
        found.append(path)
    return found


def make(asked: list[Row], run: Path, out: Path) -> Path:
    """Clips by `reelmill generate`; their folder."""
    out.mkdir(parents=True, exist_ok=True)
    listed = out / "requests.yaml"
    write_text(listed, yaml.safe_dump(asked))
    verb("generate", out, str(listed), "--generate.checkpoint", str(run / "checkpoints"))
    return out / "clips"


def main() -> None:
    """Run the route, print the table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--out", type=Path, default=Path("runs/real-films"))
    given = parser.parse_args()
    films, run, out = cache() / "films", given.out / "run", given.out
    fetch(films)
    cut = parts([films / f"{name}.mp4" for name in FILMS], out / "parts", PART_S, SIDE)
    verb("curate", run, str(cut[0].parent), "--scan.val_share", "0.2", "--judge.judges", JUDGES)
    task = ("--train.tasks", TASKS, "--train.model", MODEL)
    often = ("--train.validate_every", "100", "--train.sample_every", "0")
    verb("train", run, "--train.steps", str(given.steps), *task, *often)
    rows = held_out(run, given.clips)
    cuts = read(rows)
    far = len(cuts) // 2
    bounds = {
        CODED: coded(cuts),
        SWAPPED: [(c[0], cuts[(n + far) % len(cuts)][1]) for n, c in enumerate(cuts)],
        HELD: [held(one) for one in cuts],
    }
    real = write(rows, cuts, out / "real")
    folders = {}
    for name, clips in bounds.items():
        folders[name] = write(rows, clips, out / slug(name))[0].parent
    first = write(rows, [begun(one) for one in cuts], out / "given")
    asked: dict[str, list[Row]] = {
        LONGER: [{"clip": str(path.resolve()), "keep": GIVEN} for path in first],
        HEARD: [{"source": str(path.resolve()), "make": "sound"} for path in real],
    }
    for name, requests in asked.items():
        for n, one in enumerate(requests):
            one |= {"prompt": rows[n]["prompt"], "seed": n}
        folders[name] = make(requests, run, out / f"{slug(name)}-{given.steps}")
    table = {}
    for name, folder in folders.items():
        page = folder.parent / f"{folder.name}.html"
        words = (str(folder), "--reference", str(out / "real"), "--page", str(page))
        if not page.with_suffix(".json").is_file():
            verb("evaluate", run, *words)
        table[name] = json.loads(page.with_suffix(".json").read_text())["metrics"]
    near = {name: likeness(folders[name], cuts) for name in (CODED, HELD, LONGER)}
    draw(folders[LONGER], cuts, out / "extension.jpg")
    tell(table, near, len(rows), given.steps)


def draw(folder: Path, cuts: list[Cut], path: Path) -> None:
    """A picture of some clips: every second frame of the film, and of what was made, below it."""
    films = sorted(folder.glob("*.mp4"))
    lines = []
    with MediaReader() as reader:
        for n in np.linspace(0, len(films) - 1, DRAWN).round().astype(int):
            made = reader.frames(films[n], short_side=SIZE).pixels
            lines += [np.concatenate(list(pixels[::2]), 1) for pixels in (cuts[n][0], made)]
            lines.append(np.full((SIZE // 8, lines[-1].shape[1], 3), 255, np.uint8))
    drawn = np.concatenate(lines[:-1])[..., ::-1]
    quality = [cv2.IMWRITE_JPEG_QUALITY, 85]
    write_bytes(path, cv2.imencode(".jpg", drawn, quality)[1].tobytes())


def likeness(folder: Path, cuts: list[Cut]) -> dict[str, float]:
    """PSNR in dB of a clip's frames after the GIVEN against the film's own, and its interval."""
    films = sorted(folder.glob("*.mp4"))
    new = np.s_[GIVEN:]
    with MediaReader() as reader:
        shown = [reader.frames(film, short_side=SIZE).pixels for film in films]
    every = np.ones((FRAMES - GIVEN, SIZE, SIZE), bool)
    found = [
        [value]
        for made, (own, _) in zip(shown, cuts, strict=True)
        if (value := psnr(made[new], own[new], every)) is not None
    ]
    pooled = estimate(found)
    assert pooled is not None
    return asdict(pooled)


def slug(name: str) -> str:
    """A folder's name."""
    return "".join(c if c.isalnum() else "-" for c in name)


def tell(table: Row, near: Row, clips: int, steps: int) -> None:
    """The table in Markdown and the line of JSON."""
    by_name = {kind: {m["name"]: m["values"] for m in metrics} for kind, metrics in table.items()}
    say("| metric | real | " + " | ".join(table) + " |")
    say("| --- " * (2 + len(table)) + "|")
    for name, one in by_name[HEARD].items():
        found = [by_name[kind].get(name, {}).get("made") for kind in table]
        if any(found):
            cells = [cell(one.get("reference")), *map(cell, found)]
            say(f"| `{name}` | " + " | ".join(cells) + " |")
    cells = [cell(near.get(kind)) for kind in table]
    say(f"| new frames, dB to the film's own | | {' | '.join(cells)} |")
    ours, peer = (by_name[kind]["fd_sound"]["made"]["value"] for kind in (HEARD, CODED))
    result = {"name": "real_films", "ratio": round(ours / peer, 2), "ours": ours, "peer": peer}
    result |= {"unit": "Fréchet distance of sounds", "clips": clips, "steps": steps}
    say(json.dumps(result | {"machine": machine()}, ensure_ascii=False))


def cell(found: dict[str, float] | None) -> str:
    """A mean and its interval."""
    if not found:
        return ""
    return f"{short(found['value'])} [{short(found['low'])}…{short(found['high'])}]"


if __name__ == "__main__":
    main()
