"""Lips against speech on drawn mouths whose truth is known, by both measures."""

import cv2
import numpy as np
import pytest
import torch

from curation.judges.config import LipsModel
from curation.judges.lip_net import LipNet, load_lip_net, log_mel
from curation.judges.lips import by_motion, by_net, mouth
from curation.media import Frames

RATE, FPS, SECONDS = 16_000, 25.0, 5.0
MARKS = np.array([[80, 60], [120, 60], [100, 80], [85, 100], [115, 100]], np.float64)


def syllables(seed):
    """How open the mouth is, at 1 kHz: a syllable of uneven length every fifth of a second."""
    rng = np.random.default_rng(seed)
    opening, place = np.zeros(round(SECONDS * 1000)), 0
    while place < opening.size:
        length = int(rng.integers(110, 320))
        bell = np.hanning(length) * rng.uniform(0.3, 1)
        part = opening[place : place + length]
        part += bell[: part.size]
        place += length + int(rng.integers(0, 80))
    return opening


def talking(seed, late_ms=0):
    """(frames, landmarks, sound) of a drawn face; its voice comes `late_ms` behind the lips."""
    opening = syllables(seed)
    times = np.arange(round(SECONDS * FPS)) / FPS
    pixels = np.full((len(times), 160, 200, 3), 170, np.uint8)
    rng = np.random.default_rng(seed + 100)
    for picture, t in zip(pixels, times, strict=True):
        wide = opening[min(round(t * 1000), opening.size - 1)]
        cv2.ellipse(picture, (100, 100), (16, 1 + round(9 * wide)), 0, 0, 360, (40, 20, 20), -1)
        picture[:] = np.clip(picture + rng.normal(0, 4, picture.shape), 0, 255)
    voice = np.interp(np.arange(round(SECONDS * RATE)) / RATE * 1000 - late_ms, *curve(opening))
    buzz = np.sign(np.sin(2 * np.pi * 130 * np.arange(voice.size) / RATE))
    sound = (0.2 * voice * buzz + rng.normal(0, 1e-3, voice.size)).astype(np.float32)
    return Frames(times, pixels), np.tile(MARKS, (len(times), 1, 1)), sound


def curve(opening):
    return np.arange(opening.size), opening


def offset_ms(lags, likeness):
    return 1000 * lags[int(np.argmax(likeness))]


@pytest.mark.parametrize("late", [0, 40, -80, 200, -320, 500])
def test_mouth_motion_finds_a_planted_offset(late):
    """The embedded measure off by more than a frame, or its sign turned round."""
    found = offset_ms(*by_motion(*talking(3, late), 0.0))
    assert found == pytest.approx(late, abs=1000 / FPS)


def test_another_voice_is_less_like():
    """A likeness that is as high for another's speech."""
    frames, marks, sound = talking(3)
    own = by_motion(frames, marks, sound, 0.0)[1].max()
    others = [by_motion(frames, marks, talking(seed)[2], 0.0)[1].max() for seed in (4, 5, 6)]
    assert own > max(others) + 0.2


class Tiny(torch.nn.Module):
    """How dark the mouth is, and how loud the voice, each as a window's shape: no training."""

    def forward(self, mouths, mel):
        dark = 1 - mouths.mean(dim=(2, 3, 4))
        loud = mel.reshape(-1, 20, 2, 40).mean(dim=(2, 3))
        return dark - dark.mean(dim=1, keepdim=True), loud - loud.mean(dim=1, keepdim=True)


@pytest.fixture(scope="module", params=["tiny.pt", "tiny.onnx"])
def network(request, tmp_path_factory):
    """The tiny network on disk, as TorchScript and as ONNX."""
    path = tmp_path_factory.mktemp("net") / request.param
    if path.suffix == ".pt":
        torch.jit.script(Tiny()).save(str(path))
    else:
        pytest.importorskip("onnxruntime", reason="the extra curate is not installed")
        names = {"input_names": ["mouths", "mel"], "output_names": ["seen", "heard"]}
        free = {name: {0: "batch"} for name in ("mouths", "mel", "seen", "heard")}
        shapes = torch.zeros(2, 20, 48, 48, 3), torch.zeros(2, 40, 40)
        torch.onnx.export(Tiny(), shapes, path, dynamo=False, dynamic_axes=free, **names)
    return LipsModel(path=str(path), fps=FPS, frames=20, size=(48, 48), mel_frames=40, mels=40)


@pytest.mark.parametrize("late", [0, 80, -200, 320])
def test_a_network_from_a_file_finds_a_planted_offset(network, late):
    """Crops and mel of different moments, so that every network of a recipe is off by as much."""
    frames, marks, sound = talking(3, late)
    lags, likeness = by_net(load_lip_net(network), frames, marks, sound, 0.0)
    assert offset_ms(lags, likeness) == pytest.approx(late, abs=1000 / FPS)


def test_a_file_that_is_no_such_network_is_named(network, tmp_path):
    """A trace from inside the network instead of the recipe's field."""
    with pytest.raises(ValueError, match=r"judge\.lips\.path"):
        load_lip_net(network.model_copy(update={"path": str(tmp_path / "none.onnx")}))
    wrong = LipNet(network, lambda one, two: [one[:, 0, 0, 0], two])
    frames, marks, sound = talking(3)
    with pytest.raises(ValueError, match="two embeddings"):
        by_net(wrong, frames, marks, sound, 0.0)


def test_the_mouth_is_cut_upright():
    """A tilted head whose mouth is cut from its cheek."""
    picture = np.zeros((200, 200, 3), np.uint8)
    turn = cv2.getRotationMatrix2D((100.0, 100.0), 30, 1.3)
    marks = MARKS @ turn[:, :2].T + turn[:, 2]
    x, y = marks[3:].mean(axis=0)
    cv2.circle(picture, (round(x), round(y)), 3, (255, 255, 255), -1)
    crop = mouth(picture, marks, (64, 64), 32.0)
    rows, columns = np.nonzero(crop[..., 0] > 128)
    assert abs(rows.mean() - 32) < 1.5
    assert abs(columns.mean() - 32) < 1.5


def test_a_beep_lies_in_its_step_of_the_mel():
    """A mel that is late by half its window, which is two frames of picture."""
    sound = np.zeros(RATE, np.float32)
    sound[RATE // 2 : RATE // 2 + 160] = 0.5
    level = log_mel(sound, 0.01, 40).mean(axis=1)
    loud = np.flatnonzero(level > level.min() + 0.5 * np.ptp(level))
    assert loud.mean() == pytest.approx(50.5, abs=1.5)
