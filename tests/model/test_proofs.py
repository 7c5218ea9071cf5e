"""What must hold of the network whatever it was trained on: identity, kept regions, derivatives."""

from dataclasses import replace

import pytest
import torch

from model.conditions import condition
from model.geometry import AudioSpec, Geometry, VideoSpec
from model.sample import grid, integrate
from tests.model.helpers import make_media, make_model, make_reference, with_references

MICRO = Geometry(5, 16, 16, 8.0, VideoSpec(channels=2), AudioSpec(channels=2, hop=3_200))
PATHS = ("picture", "sound", "both", "references")


def micro(path: str):
    """A model and its inputs in float64, of few enough numbers to differentiate one by one."""
    model = make_model(
        awake=True, width=12, heads=2, video_channels=2, audio_channels=2, text_dim=3, mlp_ratio=1
    ).double()
    media = make_media(batch=2, tokens=2, geometry=MICRO, text_dim=3)
    mask = torch.tensor([[True, True], [True, False]])
    video, audio = (replace(m, text_mask=mask) for m in media)
    if path == "references":
        image = make_reference(3, "video", 1, MICRO)
        both = make_reference(4, "both", 5, MICRO)
        video, audio = with_references((video, audio), [[image, both], [both]])
    video, audio = to_double(video), to_double(audio)
    return model, None if path == "sound" else video, None if path == "picture" else audio


def to_double(media):
    """The same in float64."""
    names = ["latent", "t", "text", "condition", "mask"]
    there = {n: getattr(media, n).double() for n in names if getattr(media, n) is not None}
    if media.references is not None:
        there["references"] = media.references.to(torch.device("cpu"), torch.float64)
    return replace(media, **there)


@pytest.mark.parametrize("path", PATHS)
def test_gradients_are_exact_on_every_path(path):
    """Catches a wrong derivative anywhere: of every input and every weight that the path uses.

    All of them are one vector x, and gradcheck's fast mode compares u·J·v with finite differences
    along a random v, so that the whole costs a few passes.
    """
    model, video, audio = micro(path)
    weights = dict(model.named_parameters())
    inputs = {
        (kind, name): x
        for kind, media in (("video", video), ("audio", audio))
        if media is not None
        for name, x in differentiable(media).items()
    }
    together = [*inputs.values(), *(p.detach() for p in weights.values())]

    def run(x):
        pieces = [
            piece.reshape(like.shape)
            for piece, like in zip(x.split([y.numel() for y in together]), together, strict=True)
        ]
        put = dict(zip(inputs, pieces, strict=False))
        named = dict(zip(weights, pieces[len(inputs) :], strict=True))
        args = tuple(
            media and with_values(media, {n: x for (k, n), x in put.items() if k == kind})
            for kind, media in (("video", video), ("audio", audio))
        )
        made = torch.func.functional_call(model, named, args)
        return tuple(out for out in made if out is not None)

    x = torch.cat([y.flatten() for y in together]).requires_grad_()
    assert torch.autograd.gradcheck(run, (x,), fast_mode=True, atol=1e-6, rtol=1e-4)


def differentiable(media):
    """What of an input has a derivative."""
    found = {name: getattr(media, name) for name in ("latent", "condition", "text")}
    if media.references is not None:
        found["references"] = media.references.latent
    return {name: x for name, x in found.items() if x is not None}


def with_values(media, values):
    """The input with other values."""
    if "references" in values:
        values["references"] = replace(media.references, latent=values["references"])
    return replace(media, **values)


@pytest.mark.parametrize("path", PATHS)
def test_a_fresh_block_is_the_identity_on_every_path(path):
    """Catches a gate or a new path that does not start at zero, references included."""
    _, video, audio = micro(path)
    model = make_model(
        width=12, heads=2, video_channels=2, audio_channels=2, text_dim=3, mlp_ratio=1
    ).double()
    before = (
        None if video is None else model.embed_video(video),
        None if audio is None else model.embed_audio(audio),
    )
    after = before
    for block in model.blocks:
        after = block(*after)
    for old, new in zip(before, after, strict=True):
        assert (old is None) == (new is None)
        if old is not None:
            assert torch.equal(old.media, new.media)
            assert torch.equal(old.text, new.text)


@pytest.mark.parametrize("method", ["euler", "heun", "dpmpp"])
def test_a_mask_of_ones_returns_the_source(method):
    """Catches a sampler that moves what it was told to keep, by however little."""
    model = make_model(awake=True)
    video, audio = make_media()
    source = torch.randn(video.latent.shape, generator=torch.Generator().manual_seed(7))
    whole = condition(source, torch.ones_like(video.mask), torch.zeros(source.shape[1:]))
    video = replace(video, condition=whole.latent, mask=whole.mask)
    rows = [[make_reference(3, "video", 1)], [make_reference(4)]]
    picture, _ = integrate(model, *with_references((video, audio), rows), grid(3), method)
    assert torch.equal(picture, source)
