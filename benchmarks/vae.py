"""Held-out quality of the autoencoders, beside a plain PCA of the same patches and channels.

The peer is fitted to the training spans and measured on the held-out ones, like ours:
`python -m benchmarks.vae --film big_buck_bunny.mp4`. `--quick` ends within 50 s.
"""

import argparse
import json
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curation.media import MediaReader
from curation.sound import onsets
from curation.world.film import make_clean_film
from jobs.vae_data import RATE, Reel, film_reel, world_config, world_reel
from jobs.vae_loop import principal
from jobs.vae_video import draw_clip, held_out, psnr
from model.vae import AudioVAE, VideoVAE, load_audio_vae, load_video_vae

AIM = 1.06  # 1.5 dB above 26.5 dB
COUNTS = (8, 16, 32)
UNSEEN = 8_000  # seed of generated films that no training saw, held out or not


@torch.no_grad()
def ours(vae: VideoVAE, clips: list[Tensor]) -> list[Tensor]:
    """Clips through encode and decode."""
    return [vae.decode(vae.encode(clip[None]))[0] for clip in clips]


def peer(
    vae: VideoVAE, reels: list[Reel], clips: list[Tensor], count: int, many: int
) -> list[Tensor]:
    """Clips through a PCA of their own kind's training patches, first frames and groups apart."""
    rng = np.random.default_rng(1)
    examples = torch.stack([draw_clip(reels, rng, 17) for _ in range(many)])
    bases = [principal([patches.flatten(0, -2)], [1.0], count) for patches in vae.split(examples)]
    restored = []
    for clip in clips:
        parts = []
        for patches, (mean, directions) in zip(vae.split(clip[None]), bases, strict=True):
            parts.append((patches - mean) @ directions @ directions.T + mean)
        restored.append(vae.join(parts[0], parts[1])[0].clamp(-1, 1))
    return restored


def picture(vae: VideoVAE, reels: list[Reel], limit: int, many: int) -> dict[str, dict[str, float]]:
    """PSNR in dB by set of held-out clips: ours and PCA of 8, 16 and 32 components."""
    table = {}
    for reel in reels:
        for name, clips in held_out([reel], limit).items():
            row = {"ours": psnr(ours(vae, clips), clips)}
            for count in COUNTS:
                row[f"pca{count}"] = psnr(peer(vae, [reel], clips, count, many), clips)
            table[name] = row
            said = ", ".join(f"{key} {value:.2f} dB" for key, value in row.items())
            print(f"{name} ({len(clips)} clips of {tuple(clips[0].shape[1:])}): {said}")
    return table


@torch.no_grad()
def sound(vae: AudioVAE, films: int) -> tuple[float, float, float]:
    """Share of impacts of world films found within 10 ms after decoding, 95 % shift in ms of those
    found, and log-mel distance in dB.
    """
    config = world_config(64, 8.0, varied=False)
    shifts, distances, missed = [], [], 0
    for index in range(10_000, 10_000 + films):
        samples = torch.from_numpy(make_clean_film(config, index).samples[:1])[None]
        back = vae.decode(vae.encode(samples), samples=samples.shape[2])
        before, after = (starts(x[0, 0].numpy()) for x in (samples, back))
        for time in before:
            near = np.abs(after - time).min() if len(after) else np.inf
            if near > 0.05:
                missed += 1
            else:
                shifts.append(near * 1000)
        distances.append((vae.loudness(samples)[0] - vae.loudness(back)[0]).abs().mean().item())
    shift = np.array(shifts)
    share = float((shift <= 10).sum() / max(1, len(shift) + missed))
    print(
        f"sound of {films} world films: {len(shift) + missed} impacts, {share:.1%} within 10 ms, "
        f"median {np.median(shift):.1f} ms, 95 % {np.percentile(shift, 95):.1f} ms, {missed} lost, "
        f"log-mel distance {np.mean(distances) * 8.686:.2f} dB"
    )
    return share, float(np.percentile(shift, 95)), float(np.mean(distances) * 8.686)


def starts(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Onset times in seconds, as the scan finds them."""
    return np.asarray(onsets(samples.astype(np.float64), RATE))


def main() -> None:
    """Measure picture and sound; the ratio is of PSNR on the film, or on the world without one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--film", type=Path, help="a real film; the third minute of five is held out"
    )
    parser.add_argument(
        "--weights", default="embedded", help="embedded, or a folder of `reelmill vae`"
    )
    parser.add_argument("--cache", type=Path, help="where decoded films are kept")
    parser.add_argument("--quick", action="store_true", help="fewer clips, < 50 s")
    asked = parser.parse_args()
    torch.set_num_threads(2)
    films, limit, many = (30, 4, 60) if asked.quick else (200, 60, 300)
    video, audio = load_video_vae(asked.weights), load_audio_vae(asked.weights)
    assert isinstance(video, VideoVAE), "the PCA beside it is of our own patches"
    assert isinstance(audio, AudioVAE)
    with tempfile.TemporaryDirectory(prefix="reelmill-") as temporary:
        cache = asked.cache or Path(temporary)
        kinds = ((64, 8.0, False), (64, 8.0, True), (128, 12.0, True))
        reels = [world_reel(cache, *kind, films, UNSEEN) for kind in kinds]
        if asked.film is not None and asked.film.is_file():
            with MediaReader() as reader:
                reels.append(film_reel(cache, asked.film, reader))
        else:
            print("no real film: give one with --film (Big Buck Bunny made the shipped weights)")
        table = picture(video, reels, limit, many)
        sound(audio, 8 if asked.quick else 40)
    row = list(table.values())[-1]
    result = {
        "name": "vae",
        "ratio": round(row["ours"] / row["pca16"], 3),
        "aim": AIM,
        "ours": round(row["ours"], 2),
        "peer": round(row["pca16"], 2),
        "unit": "dB",
        "versions": {name: version(name) for name in ("torch", "numpy")},
        "machine": f"{platform.machine()}, {platform.processor() or platform.system()}",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
