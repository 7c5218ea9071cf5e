"""Training the autoencoders: the verb from films to loadable weights, and its resume."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from jobs.config import RecipeError
from jobs.vae import run
from jobs.vae_data import split
from jobs.vae_loop import Trainer
from model.vae import load_audio_vae, load_video_vae


class Toy(nn.Module):
    """A stack, a slow path and a rest, as in the autoencoders."""

    def __init__(self):
        super().__init__()
        self.stack = nn.Linear(6, 6)
        self.slow = nn.Linear(6, 6)
        self.rest = nn.Linear(6, 6)

    def loss(self, x):
        error = (self.rest(self.stack(x) + self.slow(x)) - x).square().mean()
        return error, error.item()


def trained(path, steps, seed=0):
    """A toy trained for a number of steps, saved on the way as a killed run leaves it."""
    torch.manual_seed(seed)
    toy = Toy()
    trainer = Trainer(toy, ["stack"], ["slow"], minutes=60.0, path=path)
    trainer.resume()

    def batch(step):
        return torch.randn(8, 6, generator=torch.Generator().manual_seed(step))

    while trainer.step < steps:
        trainer.set_rates()
        loss, _ = toy.loss(batch(trainer.step))
        for optimizer in trainer.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in trainer.optimizers:
            optimizer.step()
        trainer.follow()
    trainer.save()
    return toy, trainer


def test_a_stopped_training_goes_on_with_everything(tmp_path):
    """Catches a resume that forgets weights, averages, momentum or the step."""
    straight, whole = trained(tmp_path / "straight", 40)
    trained(tmp_path / "halves", 23)
    resumed, second = trained(tmp_path / "halves", 40, seed=9)  # another start, overwritten
    for name, value in straight.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0)
    for name, value in whole.average.items():
        torch.testing.assert_close(second.average[name], value, rtol=0, atol=0)


def test_the_average_follows_and_the_loss_falls(tmp_path):
    """Catches updates with the wrong sign, and an average that stays at the start."""
    toy, trainer = trained(tmp_path / "state", 300)
    x = torch.randn(64, 6, generator=torch.Generator().manual_seed(-1))
    torch.manual_seed(0)
    before = Toy().loss(x)[1]
    assert toy.loss(x)[1] < 0.3 * before
    with trainer.averaged():
        assert toy.loss(x)[1] < 0.5 * before


def test_held_out_minutes_are_never_trained_on():
    """Catches spans that overlap, or a film that loses frames between them."""
    train, held = split(frames=24 * 60 * 12, fps=24.0)
    covered = sorted([*train, *held])
    assert covered[0][0] == 0
    assert covered[-1][1] == 24 * 60 * 12
    assert all(a[1] == b[0] for a, b in pairwise(covered))
    assert len(held) == 2


@pytest.mark.slow
def test_the_verb_makes_weights_that_load(tmp_path):
    """Catches a verb that trains and leaves nothing usable."""
    assert run(["--out", str(tmp_path), "--minutes", "0.2", "--world", "10"]) == 0
    video, audio = load_video_vae(tmp_path), load_audio_vae(tmp_path)
    pixels = torch.rand(1, 3, 5, 32, 32) * 2 - 1
    assert video.decode(video.encode(pixels)).shape == pixels.shape
    sound = torch.randn(1, 1, 16_000) * 0.1
    assert torch.isfinite(audio.encode(sound)).all()
    assert (tmp_path / "vae.json").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--minute", "3"], "unknown: --minute"), (["nowhere"], "not a folder")],
)
def test_wrong_requests_are_refused(tmp_path, words, message):
    """Catches an hour of training that starts on a mistake."""
    with pytest.raises(RecipeError, match=message):
        run([*words, "--out", str(tmp_path)])
