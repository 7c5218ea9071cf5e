"""The network learns: one batch by heart, and sound from picture."""

from dataclasses import replace

import torch

from model.flow import interpolate, loss, velocity
from tests.model.helpers import GEOMETRY, make_media, make_model

STEPS = 60


def test_one_batch_is_learned_by_heart():
    """Catches a network whose gradients are right but whose signal path is cut or badly scaled."""
    model = make_model(width=48)
    video, audio = make_media(batch=4)
    clean = [torch.randn(m.latent.shape, generator=seeded(i)) for i, m in enumerate((video, audio))]
    noise = [m.latent for m in (video, audio)]
    inputs = [
        replace(m, latent=interpolate(c, n, m.t))
        for m, c, n in zip((video, audio), clean, noise, strict=True)
    ]
    targets = [velocity(c, n) for c, n in zip(clean, noise, strict=True)]
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    losses = []
    for _ in range(STEPS):
        found = model(*inputs)
        total = sum(loss(f, t).mean() for f, t in zip(found, targets, strict=True))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(float(total.detach()))
    assert losses[-1] < 0.1 * losses[0]


def test_sound_is_learned_from_picture():
    """Catches an exchange that never opens: here only the picture knows what the sound is.

    Every clip's sound is a constant whose sign the picture shows; text and noisy sound know
    nothing (t = 0), so without the exchange the audio loss cannot fall below its prior, 1.
    """
    model = make_model(width=24)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    together = [audio_loss(model, step, optimizer) for step in range(STEPS)]
    with torch.no_grad():
        seen = sum(audio_loss(model, 1000 + i) for i in range(5)) / 5
        unseen = sum(audio_loss(model, 1000 + i, blind=True) for i in range(5)) / 5
    assert together[0] > 0.7
    assert seen < 0.2
    assert unseen > 3 * seen


def audio_loss(model, step: int, optimizer=None, blind: bool = False) -> float:
    """Squared error of the clean sound (noise added back) on a fresh batch; trains if asked."""
    video, audio = make_media(seed=step, batch=16)
    sign = torch.randint(0, 2, (16,), generator=seeded(step)).mul(2).sub(1).float()
    shown = sign.flip(0) if blind else sign
    picture = shown[:, None, None, None, None] * torch.ones(16, *GEOMETRY.video_shape)
    sound = sign[:, None, None] * torch.ones_like(audio.latent)
    start = torch.zeros(16)
    video = replace(video, latent=picture, t=start + 1, text=torch.zeros_like(video.text))
    video = replace(video, condition=torch.zeros_like(picture))
    heard = replace(audio, t=start, text=torch.zeros_like(audio.text))
    found = model(video, heard)[1]
    error = loss(found, velocity(sound, audio.latent)).mean()
    if optimizer:
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    return float(error.detach())


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
