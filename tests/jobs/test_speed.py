"""What a step says of the work it did, held to what torch counts."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from jobs.training import speed
from jobs.training.cost import Work
from jobs.training.step import losses, make_batch
from model.conditions import Task
from model.mmdit import MMDiT
from tests.jobs.samples import MODEL, objective, sample
from tests.model.helpers import wake

pytestmark = pytest.mark.usefixtures("alone")


def counted(model, batch) -> float:
    """Forward FLOPs as torch counts them, with padding."""
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), torch.no_grad():
        counter = FlopCounterMode(display=False)
        with counter:
            losses(model, batch)
    return counter.get_total_flops()


@pytest.mark.parametrize("task", ["text_to_av", "text_to_image", "text_to_audio", "reference_clip"])
def test_flops_are_those_of_the_batch(task):
    """Catches FLOPs of a tower that did not run, and of tokens that are not there."""
    samples, mix = [sample(i, other=i + 20) for i in (0, 1, 2)], objective(**{task: 1})
    alone = Task(task) if task in ("text_to_image", "text_to_audio") else None
    batch = make_batch(samples, mix, MODEL, audio=True, alone=alone)
    model = MMDiT(MODEL)
    wake(model)
    work = batch.work
    whole = counted(model, batch)
    assert work.flops <= whole
    assert work.flops == pytest.approx(whole, rel=0.02 + 2 * work.padding / work.tokens)
    assert (work.sound == 0) == (task == "text_to_image")
    assert (work.picture == 0) == (task == "text_to_audio")


def test_padding_is_what_is_computed_for_nobody():
    """Catches padding that counts as tokens, and parts of a batch that do not add up."""
    samples, mix = [sample(i) for i in range(8)], objective(text_to_av=1)
    whole = make_batch(samples, mix, MODEL, audio=True)
    parts = [make_batch([s], mix, MODEL, audio=True).work for s in samples]
    assert whole.video is not None
    real = int(whole.video.text_mask.sum())
    assert whole.work.text == real
    assert whole.work.padding == whole.video.text_mask.numel() - real > 0
    together = sum(parts, Work())
    assert together.tokens == whole.work.tokens
    assert together.flops == pytest.approx(whole.work.flops)
    assert together.padding <= len(samples), "of a lone sample without text one token"


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4e12),
        ("NVIDIA H100 PCIe", 756.5e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA H20", None),
        ("Tesla V100-SXM2-16GB", None),
    ],
)
def test_peaks_are_found_by_name(name, peak):
    """Catches a device that takes another's peak."""
    assert speed.peak_of(name) == peak


def test_mfu_is_flops_by_seconds_by_peak():
    """Catches a share that counts what is frozen, or a CPU with a made-up peak."""
    assert speed.mfu(494.7e12, speed.peak_of("NVIDIA H100 80GB HBM3")) == {"mfu": 0.5}
    assert speed.mfu(1e9, None) == {}
    assert speed.passes(10, 10) == 3
    assert speed.passes(1, 100) == pytest.approx(2.01)


def test_a_run_logs_its_work(tmp_path, shards, tiny, train_alone):
    """Catches numbers that are not logged, or not of the step."""
    lines = train_alone(tiny(tmp_path, shards, steps=2, micro_batch=3))
    assert lines[0]["device"] == "cpu"
    for line in (line for line in lines if line["kind"] == "step"):
        parts = [line[f"tokens_{of}"] for of in ("video", "audio", "text")]
        assert sum(parts) == line["tokens"] > 0
        assert min(parts) > 0
        assert 0 < line["padding"] < 0.5
        assert line["wait_mean_s"] == line["wait_s"]
        assert line["tflops"] > 0
        assert "mfu" not in line
        assert 0.05 < line["memory_gib"] < 50
