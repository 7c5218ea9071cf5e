"""Lips against speech on drawn mouths whose truth is known, by both measures."""

import cv2
import numpy as np
import pytest
import torch

from curation.judges.config import LipsModel
from curation.judges.lip_net import LipNet, likeness_by_lag, load_lip_net, log_mel, lse
from curation.judges.lips import by_motion, embeddings, mouth
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
    pair = embeddings(load_lip_net(network), frames, marks, sound, 0.0)
    assert offset_ms(*likeness_by_lag(*pair, FPS)) == pytest.approx(late, abs=1000 / FPS)


def test_a_file_that_is_no_such_network_is_named(network, tmp_path):
    """A trace from inside the network instead of the recipe's field."""
    with pytest.raises(ValueError, match=r"judge\.lips\.path"):
        load_lip_net(network.model_copy(update={"path": str(tmp_path / "none.onnx")}))
    wrong = LipNet(network, lambda one, two: [one[:, 0, 0, 0], two])
    frames, marks, sound = talking(3)
    with pytest.raises(ValueError, match="two embeddings"):
        embeddings(wrong, frames, marks, sound, 0.0)


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


class Hearing(torch.nn.Module):
    """As `Tiny`, but hears the sound itself: its level in twenty parts of the window."""

    def forward(self, mouths, sound):
        dark = 1 - mouths.mean(dim=(2, 3, 4))
        loud = sound.reshape(-1, 20, 640).square().mean(dim=2).clamp(min=1e-7).log()
        return dark - dark.mean(dim=1, keepdim=True), loud - loud.mean(dim=1, keepdim=True)


@pytest.mark.parametrize("late", [0, 200, -320])
def test_a_network_may_hear_the_sound_itself(tmp_path, late):
    """Windows of samples that begin at other moments than those of pictures, or are too short."""
    path = tmp_path / "hearing.pt"
    torch.jit.script(Hearing()).save(str(path))
    config = LipsModel(path=str(path), fps=FPS, frames=20, size=(48, 48), mels=0)
    pair = embeddings(load_lip_net(config), *talking(3, late), 0.0)
    assert offset_ms(*likeness_by_lag(*pair, FPS)) == pytest.approx(late, abs=1000 / FPS)


def published(pictures, sounds):
    """SyncNet's own way (syncnet_python, SyncNetInstance.py: calc_pdist and evaluate), by torch."""
    one, two = torch.from_numpy(pictures), torch.from_numpy(sounds)
    padded = torch.nn.functional.pad(two, (0, 0, 15, 15))
    rows = [
        torch.nn.functional.pairwise_distance(one[[i]].repeat(31, 1), padded[i : i + 31, :])
        for i in range(len(one))
    ]
    means = torch.stack(rows, 1).mean(1)
    least, _ = means.min(0)
    return float(least), float(means.median() - least)


def test_lse_is_that_of_syncnets_code():
    """Embeddings set to length 1, an offset's sign, other edges, or a mean for the median."""
    rng = np.random.default_rng(0)
    pictures = rng.normal(0, 3, (60, 8)).astype(np.float32)
    sounds = np.roll(pictures, 4, axis=0) + rng.normal(0, 1, (60, 8)).astype(np.float32)
    assert lse(pictures, sounds) == pytest.approx(published(pictures, sounds), rel=1e-4)
    assert lse(pictures[:0], sounds[:0]) is None


def test_lse_of_known_features():
    """A distance or confidence that one can reckon by hand: the same one-hot at one offset."""
    count, offset = 100, 6
    pictures = np.eye(200, dtype=np.float32)[:count]
    sounds = np.eye(200, dtype=np.float32)[100 : 100 + count]
    sounds[offset:] = pictures[:-offset]
    inside = (count - offset) / count  # the rest meets zeros beyond the end, at distance 1
    far = np.sqrt(2)
    distance, confidence = lse(pictures, sounds)
    assert distance == pytest.approx((1 - inside) * 1, abs=1e-3)
    assert confidence == pytest.approx(far * 0.92 + 0.08 - distance, abs=0.03)


def test_lse_moves_with_what_is_heard(network):
    """Scores that stand still as the voice is drowned or another's, or that a shift lowers."""
    net, (frames, marks, sound) = load_lip_net(network), talking(3)
    rng = np.random.default_rng(0)

    def of(voice):
        return lse(*embeddings(net, frames, marks, voice.astype(np.float32), 0.0))

    found = [of(sound + rng.normal(0, level, sound.size)) for level in (0, 0.02, 0.2)]
    assert found[0][1] > found[1][1] > found[2][1], found
    late = of(np.concatenate([np.zeros(round(0.2 * RATE), np.float32), sound])[: sound.size])
    strangers = [of(talking(seed)[2]) for seed in (4, 5, 6)]
    assert late[1] > 0.9 * found[0][1], "an offset within reach is found, as published"
    assert found[0][1] > max(other[1] for other in strangers), (strangers, found[0])
