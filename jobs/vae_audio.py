"""Train the audio autoencoder: PCA of log-mel patches first, then the stack, then all bins."""

from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as fn

from curation.progress import say
from jobs.vae_data import RATE, Reel
from jobs.vae_loop import Trainer, principal
from model.vae_audio import AudioVAE, AudioVAEConfig

BATCH, SECONDS = 12, 2.56
LENGTH = round(SECONDS * RATE)
REAL_SHARE = 0.6
NOISE = 0.1
SCALE = 1 / 16  # mel patches have 640 values of up to 8: this brings the largest channel near 1
PCA_SOUNDS = 300


def train_audio(reels: list[Reel], minutes: float, work: Path, seed: int) -> AudioVAE:
    """The trained autoencoder with its statistics, ready to be written."""
    torch.manual_seed(seed)
    vae = AudioVAE(AudioVAEConfig())
    rng = np.random.default_rng([seed, 1 << 30])
    sounds = torch.stack([draw_sound(reels, rng) for _ in range(PCA_SOUNDS)])
    start_from_pca(vae, sounds)
    judged = held_out_sounds(reels)
    say(f"PCA on held-out sound: {judge(vae, judged)}")
    trainer = Trainer(
        vae,
        ["encoder", "decoder", "fine"],
        ["pca_in", "pca_out"],
        minutes,
        work / "audio.safetensors",
    )
    trainer.run(
        lambda step: draw_batch(reels, seed, step),
        lambda batch: loss_of(vae, batch),
        lambda: judge(vae, judged),
    )
    with torch.no_grad():
        for name, weight in vae.named_parameters():
            weight.copy_(trainer.average[name])
        raw = vae.encode_raw(vae.patches(vae.loudness(sounds)[0]))
        flat = rearrange(raw, "b c l -> c (b l)").double()
        vae.mean_stat.copy_(flat.mean(1))
        vae.std_stat.copy_(flat.std(1))
    say(f"held-out sound: {judge(vae, judged)}")
    return vae.eval()


def loss_of(vae: AudioVAE, sound: Tensor) -> tuple[Tensor, float]:
    """Error of the loudness of mel bands and of bins, after noise on the latents; and the first.

    Errors are absolute: squares would blur the step of an impact.
    """
    mel, bins = vae.loudness(sound)
    raw = vae.encode_raw(vae.patches(mel))
    spread = raw.std(dim=(0, 2), keepdim=True)
    size = NOISE * torch.rand(len(raw), 1, 1) * (torch.rand(len(raw), 1, 1) < 0.5)
    back = vae.decode_raw(raw + size * spread * torch.randn_like(raw))
    coarse = fn.l1_loss(back, mel)
    fine = fn.l1_loss(vae.fine_loudness(back), bins)
    return coarse + fine, coarse.item()


def draw_batch(reels: list[Reel], seed: int, step: int) -> Tensor:
    """A batch [B,1,S] that depends on the seed and the step only."""
    rng = np.random.default_rng([seed, step])
    return torch.stack([draw_sound(reels, rng) for _ in range(BATCH)])


def draw_sound(reels: list[Reel], rng: np.random.Generator) -> Tensor:
    """One piece [1,S] of a training span: other speed (0.7 to 1.4), other loudness, some mixed."""
    piece = draw_piece(reels, rng)
    if rng.random() < 0.15:
        piece = piece + rng.uniform(0.1, 1.0) * draw_piece(reels, rng)
    if rng.random() < 0.03:
        piece = piece * 0
    return (piece * 10 ** (rng.uniform(-18, 6) / 20)).clamp(-1, 1)[None]


def draw_piece(reels: list[Reel], rng: np.random.Generator) -> Tensor:
    """[S] of one reel, resampled to another speed half of the time."""
    heard = [reel for reel in reels if len(reel.sound)]
    real = [reel for reel in heard if reel.real]
    world = [reel for reel in heard if not reel.real]
    kind = real if real and (not world or rng.random() < REAL_SHARE) else world
    reel = kind[int(rng.integers(len(kind)))]
    spans = reel.train
    lengths = np.array([end - start for start, end in spans], dtype=np.float64)
    sound = reel.sound_of(spans[int(rng.choice(len(spans), p=lengths / lengths.sum()))])
    speed = rng.uniform(0.7, 1.4) if rng.random() < 0.5 else 1.0
    need = min(round(LENGTH * speed), len(sound))
    start = int(rng.integers(0, len(sound) - need + 1))
    piece = torch.from_numpy(sound[start : start + need].astype(np.float32))
    if speed != 1.0:
        piece = fn.interpolate(piece[None, None], size=round(need / speed), mode="linear")[0, 0]
    return fn.pad(piece, (0, max(0, LENGTH - len(piece))))[:LENGTH]


@torch.no_grad()
def start_from_pca(vae: AudioVAE, sounds: Tensor) -> None:
    """Put the PCA of mel patches on the linear path."""
    rows = vae.patches(vae.loudness(sounds)[0]).flatten(0, 1)
    mean, directions = principal([rows], [1.0], vae.config.channels)
    vae.pca_in.weight.copy_(directions.T * SCALE)
    vae.pca_in.bias.copy_(-SCALE * (directions.T @ mean))
    vae.pca_out.weight.copy_(directions / SCALE)
    vae.pca_out.bias.copy_(mean)


def held_out_sounds(reels: list[Reel], limit: int = 16) -> dict[str, Tensor]:
    """Pieces [B,1,S] that were never trained on, by name of the reel."""
    found = {}
    for reel in reels:
        pieces = []
        for span in reel.held:
            sound = reel.sound_of(span)
            starts = range(0, len(sound) - LENGTH + 1, LENGTH)
            pieces += [sound[start : start + LENGTH].astype(np.float32) for start in starts]
        chosen = pieces[:: max(1, len(pieces) // limit)][:limit]
        if chosen:
            found[reel.name] = torch.from_numpy(np.stack(chosen))[:, None]
    return found


@torch.no_grad()
def judge(vae: AudioVAE, sounds: dict[str, Tensor]) -> str:
    """Mean absolute error of log-mel and of log-spectrum in dB, by reel."""
    lines = []
    for name, sound in sounds.items():
        mel, bins = vae.loudness(sound)
        back = vae.decode_raw(vae.encode_raw(vae.patches(mel)))
        coarse = fn.l1_loss(back, mel).item() * 8.686
        fine = fn.l1_loss(vae.fine_loudness(back), bins).item() * 8.686
        lines.append(f"{name} mel {coarse:.2f} dB, bins {fine:.2f} dB")
    return ", ".join(lines)
