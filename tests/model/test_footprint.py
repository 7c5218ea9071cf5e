"""Formulae of memory against what torch really keeps."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from model.config import SIZES
from model.flops import token_counts
from model.footprint import activations, count_weights, decoding_peak, sampling_peak, states
from model.geometry import Geometry
from model.mmdit import MMDiT
from tests.model.helpers import make_media

CLIP = Geometry(17, 96, 96, 8.0)
TEXT = 12


def kept_by_torch(config, video, audio) -> int:
    """Elements that autograd holds after a forward pass, each storage once, weights not counted."""
    model = MMDiT(config)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    seen: dict[int, int] = {}
    alive = []  # else a freed storage's address would come again

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes() // tensor.element_size()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        out = [v for v in model(video, audio) if v is not None]
    assert all(v.requires_grad for v in out)
    return sum(seen.values())


def kept_by_a_cpu_alone(config, video: int, audio: int) -> int:
    """A CPU has no fused RMS norm, and its attention's output is copied to merge the heads."""
    total = 0
    for media, crosses in ((video, True), (audio, config.text_cross_audio)):
        if media:
            total += 3 * (media + TEXT) + (2 * media + TEXT if crosses else 0)
    if video and audio:
        total += 3 * (video + audio)
    return total * config.width * (config.dual + config.single)


@pytest.mark.parametrize("present", ["both", "video", "audio"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dual": 3, "mlp_ratio": 2, "text_cross_audio": False},
        {"parallel_single": True, "text_refiner": 2},
    ],
)
def test_kept_activations_are_what_torch_keeps(present, changes):
    """Catches a layer whose activations the plan forgets: the run would end out of memory."""
    config = replace(SIZES["tiny"], **changes)
    video, audio = make_media(batch=1, geometry=CLIP, tokens=TEXT, text_dim=384)
    video = None if present == "audio" else video
    audio = None if present == "video" else audio
    tokens = token_counts(config, CLIP)
    there = tokens[0] if video else 0, tokens[1] if audio else 0
    formula = activations(config, *there, TEXT, checkpointed=False)
    formula += kept_by_a_cpu_alone(config, *there)
    assert formula == pytest.approx(kept_by_torch(config, video, audio), rel=0.05)


def test_checkpointing_keeps_token_lists_alone():
    """Catches a formula in which depth still multiplies the inside of blocks."""
    shallow, deep = SIZES["1b"], replace(SIZES["1b"], dual=12, single=24)
    added = [activations(c, 1000, 200, 50, checkpointed=True) for c in (shallow, deep)]
    assert added[1] - added[0] == 18 * (1000 + 50 + 200 + 50) * 1024


def test_weights_are_counted_by_part():
    """Catches weights of one tower that are booked on the other, or not at all."""
    config = SIZES["tiny"]
    found = count_weights(config)
    assert found.total == sum(p.numel() for p in MMDiT(config).parameters())
    smaller = count_weights(replace(config, text_cross_audio=False))
    assert smaller.audio < found.audio
    assert (smaller.video, smaller.exchange) == (found.video, found.exchange)


def test_states_are_shared_out_as_zero_does():
    """Catches a stage that shares what it does not: 18 or 20 bytes a weight, over 8 GPUs."""
    totals = [states(1000, stage, 8).total for stage in range(4)]
    assert totals == [20_000, 4_000 + 2_000, 2_000 + 250 + 2_000, 250 + 250 + 2_000]
    assert states(1000, 0, 8, half=False).total == 24_000


PEAKS = """
import torch
from model.config import SIZES
from model.geometry import Geometry
from model.mmdit import MMDiT
from model.vae_video import VideoVAE, VideoVAEConfig
from tests.model.helpers import make_media

torch.set_num_threads(1)

def read(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024

def peak(work):
    before = read("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
    with torch.inference_mode():
        work()
    return read("VmHWM") - before

model, vae = MMDiT(SIZES["test"]).eval(), VideoVAE(VideoVAEConfig()).eval()
small, large = Geometry(5, 32, 32, 8.0), Geometry(17, 384, 384, 8.0)
for batch, g in ((1, small), (2, large)):
    video, audio = make_media(batch=batch, geometry=g, tokens=48, text_dim=384)
    sampling = peak(lambda: model(video, audio))
for g in (small, Geometry(33, 512, 512, 8.0)):
    decoding = peak(lambda: vae.decode(torch.zeros(1, *g.video_shape)))
print(sampling, decoding)
"""


@pytest.mark.slow  # a process of its own, with torch
def test_peaks_of_sampling_and_decoding_are_what_a_process_takes():
    """Catches an estimate that lets a request end out of memory after minutes."""
    # blocks of 64 KiB and more go back at once, so that the peak is of what is really held
    where = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PEAKS], env=where, capture_output=True, text=True, check=True
    )
    sampling, decoding = map(int, done.stdout.split())
    clip = Geometry(17, 384, 384, 8.0)
    formula = 4 * sampling_peak(SIZES["test"], *token_counts(SIZES["test"], clip), 48, 2)
    assert sampling == pytest.approx(formula, rel=0.15)
    assert decoding == pytest.approx(4 * decoding_peak(33, 512, 512), rel=0.25)
