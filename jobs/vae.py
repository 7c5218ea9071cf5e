"""Train the two embedded autoencoders from films, and from generated films whatever you give.

  reelmill vae FILMS_FOLDER --out weights --minutes 60

Without a folder only generated films are used. Three quarters of the minutes go to the picture.
Decoded films are kept in <out>/cache (1.2 GB for 10 minutes at 24 fps); a stopped run goes on
where it was. The result is <out>/video_vae.safetensors and <out>/audio_vae.safetensors, with
<out>/vae.json saying what they were made from; `encode.video_vae` and `encode.audio_vae` of a
recipe take the folder. --threads sets how many cores to use, --seed another start,
--world how many generated films of each kind.
"""

from pathlib import Path

import torch

from curation.files import write_bytes, write_json
from curation.progress import say
from jobs.cli import main_verb, split_words
from jobs.config import RecipeError, code_version, parse_value
from jobs.vae_audio import train_audio
from jobs.vae_data import gather
from jobs.vae_video import train_video
from model.vae import FILES, load_audio_vae, load_video_vae, packed

TAKES_RECIPE = False
DEFAULTS = {"out": "weights", "minutes": "60", "threads": "2", "seed": "0", "world": "400"}
PICTURE_SHARE = 0.75


def run(words: list[str]) -> int:
    """Train both and write them; 0 when done. Raises RecipeError for a wrong request."""
    folders, overrides = split_words(words)
    if unknown := set(overrides) - set(DEFAULTS):
        raise RecipeError(
            f"unknown: --{', --'.join(sorted(unknown))}; known: --{', --'.join(DEFAULTS)}"
        )
    if len(folders) > 1:
        raise RecipeError(f"give one folder of films, not {len(folders)}")
    films = Path(folders[0]) if folders else None
    if films is not None and not films.is_dir():
        raise RecipeError(f"{films} is not a folder")
    chosen = DEFAULTS | overrides
    out = Path(chosen["out"])
    minutes = number("minutes", chosen["minutes"], 0.0)
    world = int(number("world", chosen["world"], 10))
    seed = int(number("seed", chosen["seed"], 0))
    torch.set_num_threads(int(number("threads", chosen["threads"], 1)))

    reels = gather(films, out / "cache", world)
    video = train_video(reels, minutes * PICTURE_SHARE, out / "work", seed)
    write_bytes(out / FILES["video"], packed(video))
    audio = train_audio(reels, minutes * (1 - PICTURE_SHARE), out / "work", seed)
    write_bytes(out / FILES["audio"], packed(audio))
    facts = {
        "code": code_version(),
        "films": sorted(reel.name for reel in reels),
        "minutes": minutes,
        "seed": seed,
        "fingerprints": {
            "video": load_video_vae(out).fingerprint,
            "audio": load_audio_vae(out).fingerprint,
        },
    }
    write_json(out / "vae.json", facts)
    size = sum((out / name).stat().st_size for name in FILES.values())
    say(f"wrote {out / FILES['video']} and {out / FILES['audio']}, {size / 1e6:.1f} MB")
    say(f"measure them: python -m benchmarks.vae --weights {out}")
    say(f"use them: reelmill encode RECIPE --encode.video_vae {out} --encode.audio_vae {out}")
    return 0


def number(name: str, text: str, least: float) -> float:
    """The value of an option. Raises RecipeError unless it is a number of at least `least`."""
    value = parse_value(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
        raise RecipeError(f"--{name} {text}: give a number of at least {least:g}")
    return float(value)


if __name__ == "__main__":
    raise SystemExit(main_verb("vae"))
