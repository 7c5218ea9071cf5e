"""Train the video autoencoder: PCA of films first, then the convolution stack on top of it."""

import math
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as fn

from curation.progress import say
from jobs.vae_data import SIDE, Reel, held_out_clips, to_tensor
from jobs.vae_loop import Trainer, principal
from model.vae_video import VideoVAE, VideoVAEConfig

CROP, FRAMES, BATCH = 64, 13, 8
REAL_SHARE = 0.5  # of the clips; the rest is the generated world
STRIDES = (1, 2, 2, 3)  # of a 24 fps film: 24, 12 and 8 fps
NOISE = 0.1  # largest noise on a standardised latent, so that sampled latents decode well
SCALE = 1 / 8  # of the linear path, so that latents enter the stack at about unit size
PCA_CLIPS = 160  # a kind of film


def train_video(reels: list[Reel], minutes: float, work: Path, seed: int) -> VideoVAE:
    """The trained autoencoder with its statistics, ready to be written."""
    torch.manual_seed(seed)
    vae = VideoVAE(VideoVAEConfig())
    start_from_pca(vae, reels, seed)
    judged = held_out(reels, limit=6)
    say(f"PCA on held-out films: {show(judge(vae, judged))}")
    trainer = Trainer(
        vae, ["encoder", "decoder"], ["pca_in", "pca_out"], minutes, work / "video.safetensors"
    )
    trainer.run(
        lambda step: draw_batch(reels, seed, step),
        lambda batch: loss_of(vae, batch),
        lambda: show(judge(vae, judged)),
    )
    with torch.no_grad():
        for name, weight in vae.named_parameters():
            weight.copy_(trainer.average[name])
    measure_statistics(vae, reels, seed)
    say(f"held-out films: {show(judge(vae, held_out(reels, limit=24)))}")
    return vae.eval()


def loss_of(vae: VideoVAE, pixels: Tensor) -> tuple[Tensor, float]:
    """Squared error of pixels after noise on the latents; also the PSNR of the batch."""
    raw = vae.encode_raw(pixels)
    spread = raw.std(dim=(0, 2, 3, 4), keepdim=True)
    noisy = torch.rand(len(raw), 1, 1, 1, 1) < 0.5
    size = NOISE * torch.rand(len(raw), 1, 1, 1, 1) * noisy
    back = vae.decode_raw(raw + size * spread * torch.randn_like(raw))
    error = ((back - pixels) / 2).square().mean(dim=(1, 2, 3, 4))
    # The root lets easy clips count as well: the mean of squares alone serves only the hardest.
    loss = error.mean() * 10 + (error + 1e-4).sqrt().mean()
    return loss, -10 * math.log10(error.mean().item())


def draw_batch(reels: list[Reel], seed: int, step: int) -> Tensor:
    """A batch [B,3,F,64,64] that depends on the seed and the step only."""
    rng = np.random.default_rng([seed, step])
    return torch.stack([draw_clip(reels, rng) for _ in range(BATCH)])


def draw_clip(reels: list[Reel], rng: np.random.Generator, frames: int = FRAMES) -> Tensor:
    """One clip [3,F,64,64]: a crop, a reduced crop, often mirrored, sometimes recoloured."""
    real = [reel for reel in reels if reel.real]
    world = [reel for reel in reels if not reel.real]
    kind = real if real and (not world or rng.random() < REAL_SHARE) else world
    weights = np.array([sum(b - a for a, b in reel.train) if reel.real else 1.0 for reel in kind])
    reel = kind[int(rng.choice(len(kind), p=weights / weights.sum()))]
    clip = to_tensor(draw_span(reel, rng, frames))
    clip = draw_crop(clip, rng)
    if rng.random() < 0.5:
        clip = clip.flip(-1)
    if rng.random() < 0.25:
        clip = clip[rng.permutation(3).tolist()]
    if rng.random() < 0.2:
        clip = (clip * rng.uniform(0.6, 1.0) + rng.uniform(-0.3, 0.3)).clamp(-1, 1)
    return clip


def draw_span(reel: Reel, rng: np.random.Generator, frames: int) -> NDArray[np.uint8]:
    """Frames of one training span, every first, second or third where the film allows it."""
    stride = int(rng.choice(STRIDES)) if reel.real else 1
    need = (frames - 1) * stride + 1
    spans = [span for span in reel.train if span[1] - span[0] >= need]
    if not spans:
        return np.resize(reel.pixels[:: max(1, stride)], (frames, *reel.pixels.shape[1:]))
    first, end = spans[int(rng.integers(len(spans)))]
    start = int(rng.integers(first, end - need + 1))
    return reel.pixels[start : start + need : stride]


def draw_crop(clip: Tensor, rng: np.random.Generator) -> Tensor:
    """A 64x64 view: as it is (60 %), or of 96 or 128 pixels made smaller."""
    height, width = clip.shape[-2:]
    side = int(rng.choice([CROP, CROP, CROP, 96, SIDE])) if min(height, width) >= SIDE else CROP
    top = int(rng.integers(height - side + 1))
    left = int(rng.integers(width - side + 1))
    view = clip[..., top : top + side, left : left + side]
    return view if side == CROP else fn.interpolate(view, (CROP, CROP), mode="area")


def patches_of(
    vae: VideoVAE, reels: list[Reel], seed: int
) -> tuple[list[list[Tensor]], list[float]]:
    """Rows of first patches and of later patches, of real films and of the world, and weights."""
    groups = [[r for r in reels if r.real], [r for r in reels if not r.real]]
    groups = [group for group in groups if group]
    rows: list[list[Tensor]] = [[], []]
    for group in groups:
        rng = np.random.default_rng([seed, len(group)])
        clips = torch.stack([draw_clip(group, rng, 9) for _ in range(PCA_CLIPS)])
        for kind, patches in zip(rows, vae.split(clips), strict=True):
            kind.append(patches.reshape(-1, patches.shape[-1]))
    return rows, [1.0] * len(groups)


@torch.no_grad()
def start_from_pca(vae: VideoVAE, reels: list[Reel], seed: int) -> None:
    """Put the PCA of patches on the linear path.

    Directions of the first frame are ordered and signed like those of later groups that they
    resemble, so that a channel means about the same in every latent frame.
    """
    count, repeat = vae.config.channels, vae.config.time
    rows, weights = patches_of(vae, reels, seed)
    still_mean, still = principal(rows[0], weights, count)
    mean, moving = principal(rows[1], weights, count)
    alike = (still.repeat(repeat, 1) / repeat**0.5).T @ moving
    picked, place = linear_sum_assignment(-alike.abs().numpy())
    order = np.empty(count, dtype=np.int64)
    order[place] = picked
    still = still[:, order] * torch.sign(alike[order, torch.arange(count)])
    # A patch of four frames has coefficients twice as large as one frame of the same picture.
    for layers, directions, centre, gain in (
        ((vae.pca_in.first, vae.pca_out.first), still, still_mean, repeat**0.5 * SCALE),
        ((vae.pca_in.later, vae.pca_out.later), moving, mean, SCALE),
    ):
        layers[0].weight.copy_(directions.T * gain)
        layers[0].bias.copy_(-gain * (directions.T @ centre))
        layers[1].weight.copy_(directions / gain)
        layers[1].bias.copy_(centre)


@torch.no_grad()
def measure_statistics(vae: VideoVAE, reels: list[Reel], seed: int) -> None:
    """Mean and deviation of every latent channel over training clips, real and world alike."""
    rng = np.random.default_rng([seed, 1 << 30])
    raw = torch.cat([vae.encode_raw(draw_clip(reels, rng)[None]) for _ in range(400)])
    flat = rearrange(raw, "b c t h w -> c (b t h w)").double()
    vae.mean_stat.copy_(flat.mean(1))
    vae.std_stat.copy_(flat.std(1))


def held_out(reels: list[Reel], limit: int) -> dict[str, list[Tensor]]:
    """Clips of 17 frames that were never trained on, by name of the reel and frame rate."""
    found: dict[str, list[Tensor]] = {}
    for reel in reels:
        rates = (24.0, 8.0) if reel.real else (reel.fps,)
        for fps in rates:
            clips = list(
                held_out_clips(reel, 17, fps, limit * (4 if reel.pixels.shape[1] == 64 else 1))
            )
            if clips:
                found[f"{reel.name} {fps:g} fps"] = clips
    return found


@torch.no_grad()
def judge(vae: VideoVAE, clips: dict[str, list[Tensor]]) -> dict[str, float]:
    """PSNR in dB over all pixels of each set."""
    return {
        name: psnr([restored(vae, clip) for clip in kind], kind) for name, kind in clips.items()
    }


def restored(vae: VideoVAE, clip: Tensor) -> Tensor:
    """A clip [3,F,H,W] through encode and decode, without standardisation (it cancels)."""
    return vae.decode_raw(vae.encode_raw(clip[None])).clamp(-1, 1)[0]


def psnr(ours: list[Tensor], truth: list[Tensor]) -> float:
    """PSNR in dB of pictures in −1…1, from the squared error over all pixels together."""
    errors = [((a - b) / 2).square().mean() for a, b in zip(ours, truth, strict=True)]
    return -10 * math.log10(float(torch.stack(errors).mean()))


def show(values: dict[str, float]) -> str:
    """One line of PSNR values."""
    return ", ".join(f"{name} {value:.2f} dB" for name, value in values.items())
