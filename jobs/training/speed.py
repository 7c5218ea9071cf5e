"""How much of a device a training step uses: model FLOPs a second, their share of its peak, memory.

MFU (Chowdhery et al. 2022, arXiv 2204.02311, appendix B) = model FLOPs of a step / (its seconds *
devices * peak). The FLOPs are those of model/flops.py for the real tokens: padding and what is
computed again count nothing. The seconds are all of a step, waiting for data among them, and not
what lies between steps (validation, sample clips, checkpoints).
"""

import re

import psutil  # Ray brings its own
import torch

from jobs.training.config import TrainConfig
from model.footprint import GIB

BACKWARD = 3  # forward and backward cost three times the forward pass
# Dense bfloat16 with float32 sums, TFLOP/s, from the makers' data sheets; the first whose words are
# all in the device's name.
PEAKS = {
    "B200": 2250.0,
    "H200 NVL": 835.5,
    "H200": 989.4,
    "H100 PCIe": 756.5,
    "H100 NVL": 835.5,
    "H100": 989.4,
    "GH200": 989.4,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
    "RTX 4090": 165.2,
}


def passes(trained: int, parameters: int) -> float:
    """What forward and backward cost, in forward passes: gradients of activations cost as much as
    the forward pass, and those of weights so too where all of them are trained. Of a model with
    frozen weights this is an estimate: by the share of weights, not by their tokens.
    """
    return 2 + trained / parameters


def device_of(config: TrainConfig) -> tuple[str, float | None]:
    """A worker's device by name, and its peak in FLOP/s where that is known for `config.dtype`.

    A CPU has none: its peak depends on clocks and on who else uses it.
    """
    if config.device == "cpu":
        return "cpu", None
    name = torch.cuda.get_device_name()
    return name, peak_of(name) if config.dtype == "bfloat16" else None


def peak_of(name: str) -> float | None:
    """The peak of a device in FLOP/s, by its name."""
    words = set(re.split(r"[\s-]+", name))
    found = next((peak for key, peak in PEAKS.items() if set(key.split()) <= words), None)
    return None if found is None else found * 1e12


def mfu(rate: float, peak: float | None) -> dict[str, float]:
    """The share of the peak that a device reaches at `rate` FLOP/s; nothing without one."""
    return {} if peak is None else {"mfu": rate / peak}


def memory_gib(device: torch.device) -> float:
    """The most that a GPU had allocated since the start; of a CPU's process what is resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    return float(psutil.Process().memory_info().rss / GIB)
