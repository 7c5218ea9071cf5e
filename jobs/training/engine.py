"""The DeepSpeed seam: sharded AdamW or Muon, skipped steps, averaged weights, saving and loading.

Nothing outside this file, `fragments`, `optimizer` and `outlier` knows DeepSpeed. It is imported
inside `import_deepspeed`, since importing takes 5 s and only training workers need it.
"""

import math
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jobs.training import fragments
from jobs.training.config import TrainConfig
from jobs.training.optimizer import make_optimizer, rate
from jobs.training.outlier import Guard

STATE = "state"  # the sub-folder of a step's folder that holds every rank's fragments
BUCKET = 2_000_000  # elements; DeepSpeed's 5e8 would take 2 GB a rank for any model
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Stepped:
    """What one optimizer step did. A step with NaN or Inf in its gradient, or with a norm above the
    limit, changes nothing.
    """

    applied: bool
    grad_norm: float  # infinite where it has none


def deepspeed_config(config: TrainConfig, elements: int) -> dict[str, Any]:
    """The part of the recipe that DeepSpeed acts on. `elements` is the model's size.

    The loss is already the mean over the global batch, so its batch fields are placeholders.
    """
    bucket = min(BUCKET, max(elements, 1)) if config.device == "cpu" else 50_000_000
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        # DeepSpeed clips after Muon made its updates orthogonal, whose size is not a gradient's
        "gradient_clipping": 0.0 if config.optimizer == "muon" else config.clip,
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": config.dtype == "bfloat16", "check_grad_overflow": True},
        "zero_optimization": {
            "stage": config.zero,
            "overlap_comm": config.device == "cuda",
            "reduce_bucket_size": bucket,
            "allgather_bucket_size": bucket,
            **({"stage3_prefetch_bucket_size": bucket} if config.zero == 3 else {}),
            **(config.offload.deepspeed(pin=config.device == "cuda") if config.offload else {}),
        },
        # its own CPU optimizer takes a C++ compiler; torch's fused one is as wide
        "zero_force_ds_cpu_optimizer": False,
    }


def environment(config: TrainConfig) -> dict[str, str]:
    """Variables a worker needs before it imports torch and DeepSpeed."""
    return {
        "DS_ACCELERATOR": config.device,
        "OMP_NUM_THREADS": str(config.threads),
        "MKL_NUM_THREADS": str(config.threads),
        "TOKENIZERS_PARALLELISM": "false",
        "DEEPSPEED_LOG_LEVEL": "error",
        # DeepSpeed compiles Muon's kernel, which on a CPU takes a C++ compiler and gains nothing
        **({"TORCHDYNAMO_DISABLE": "1"} if config.device == "cpu" else {}),
    }


def prepare(config: TrainConfig) -> None:
    """Process-wide settings of a worker; call before `start`."""
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(True, warn_only=config.device == "cuda")
    # torch 2.13 warns at every collective about names DeepSpeed still uses: thousands of lines
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\.|deepspeed\.")


def import_deepspeed() -> Any:  # noqa: ANN401 - an untyped module
    """DeepSpeed, without what it would import and compile for nothing."""
    if "deepspeed" in sys.modules:
        return sys.modules["deepspeed"]
    with without("mlflow"):  # its autotuner's; half of the 13 s of CPU that the import takes
        import deepspeed  # noqa: PLC0415 - 6 s, workers only
        import deepspeed.ops  # noqa: PLC0415
    # the CPU collective op compiles C++ for 75 s on first use and gains nothing at this size
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


@contextmanager
def without(name: str) -> Iterator[None]:
    """Inside this block `import name` fails, unless it was imported before."""
    absent = name not in sys.modules
    if absent:
        sys.modules[name] = None  # type: ignore[assignment]  # Python's own way to block an import
    try:
        yield
    finally:
        if absent:
            del sys.modules[name]


class Engine:
    """A model under DeepSpeed with an exponential average of its float32 master weights.

    The average lives beside each rank's master partition, so it costs 4 bytes a weight over all
    ranks together and needs no communication until somebody asks for it.
    """

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        deepspeed = import_deepspeed()
        self.config = config
        elements = sum(p.numel() for p in model.parameters())
        self.deepspeed, *_ = deepspeed.initialize(
            model=model,
            optimizer=make_optimizer(model, config),
            config=deepspeed_config(config, elements),
        )
        self.device = torch.device(self.deepspeed.device)
        self.dtype = DTYPES[config.dtype]
        self.average = [part.clone() for part in self._masters()]
        guarded = config.outlier and config.zero
        self.guard = Guard(self.deepspeed.optimizer, config.zero) if guarded else None

    def __call__(self, *inputs: Any) -> Any:  # noqa: ANN401 - the model's own signature
        """Forward pass of the wrapped model."""
        return self.deepspeed(*inputs)

    @property
    def module(self) -> nn.Module:
        """The model itself."""
        return self.deepspeed.module

    def _masters(self) -> list[Tensor]:
        return [flat.master.detach() for flat in fragments.flats(self.deepspeed)]

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add a loss's gradient; `last` of the step reduces it over the ranks. Collective."""
        self.deepspeed.set_gradient_accumulation_boundary(last)
        self.deepspeed.backward(loss)

    def step(self, step: int, limit: float = math.inf) -> Stepped:
        """Optimizer step number `step` by what `backward` gathered, unless its norm is above
        `limit`, which only counts where `outlier` is set. Collective.
        """
        norm = self._plain_norm() if self.config.zero == 0 else None
        if norm is not None and not (math.isfinite(norm) and norm <= limit):
            self.deepspeed.zero_grad()
            return Stepped(applied=False, grad_norm=norm if math.isfinite(norm) else math.inf)
        if self.guard:
            self.guard.watch(limit)
        for group in self.deepspeed.optimizer.param_groups:
            peak = self.config.muon_lr if group.get("use_muon") else self.config.lr
            group["lr"] = rate(self.config, step) * (peak / self.config.lr)
        self.deepspeed.step()
        if self.config.zero == 3:  # it would step again by the last gradient of weights without one
            self.deepspeed.optimizer.grad_partitions_flat_buffer.zero_()
        if norm is None and self.deepspeed.optimizer.overflow:
            return Stepped(applied=False, grad_norm=float(self.guard.norm if self.guard else "inf"))
        self._update_average(step)
        if norm is None:
            norm = float(self.deepspeed.get_global_grad_norm() or 0.0)
        return Stepped(applied=True, grad_norm=norm)

    def _plain_norm(self) -> float:
        """Norm of the reduced gradients; without ZeRO DeepSpeed does not look for NaN or Inf."""
        found = [p.grad for p in self.deepspeed.module.parameters() if p.grad is not None]
        return float(torch.nn.utils.get_total_norm(found))

    def _update_average(self, step: int) -> None:
        """The decay grows with the steps, so that early averages do not hold the random start."""
        decay = min(self.config.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for average, master in zip(self.average, self._masters(), strict=True):
                average.lerp_(master, 1 - decay)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Master partitions hold the average inside this block."""
        masters = self._masters()
        kept = [part.detach().clone() for part in masters]
        with torch.no_grad():
            for master, average in zip(masters, self.average, strict=True):
                master.copy_(average)
            try:
                yield
            finally:
                for master, old in zip(masters, kept, strict=True):
                    master.copy_(old)

    def weights(self, *, averaged: bool) -> dict[str, Tensor]:
        """Full float32 weights on every rank, by parameter name. Collective."""
        if averaged:
            with self._averaged():
                return self.weights(averaged=False)
        from deepspeed.utils import safe_get_full_fp32_param  # noqa: PLC0415

        state = {k: v.detach().cpu().float() for k, v in self.deepspeed.module.state_dict().items()}
        for name, parameter in self.deepspeed.module.named_parameters():
            if not parameter.requires_grad and self.config.zero == 3:
                state[name] = self._gathered(parameter)
            if parameter.requires_grad:
                full = parameter if self.config.zero == 0 else safe_get_full_fp32_param(parameter)
                state[name] = full.detach().cpu()
        return {name: tensor.contiguous().clone() for name, tensor in state.items()}

    def _gathered(self, parameter: Tensor) -> Tensor:
        """A frozen parameter, which ZeRO 3 cuts too but keeps no master of. Collective."""
        import deepspeed  # noqa: PLC0415

        with deepspeed.zero.GatheredParameters([parameter]):
            return parameter.detach().cpu().float().clone()

    def save(self, folder: Path) -> None:
        """Write what this rank holds under `folder`."""
        fragments.save(self.deepspeed, self.average, folder / STATE)

    def load(self, folder: Path) -> None:
        """Take what this rank needs from a step's folder, whichever ranks wrote it. Collective.

        Raises FragmentError.
        """
        fragments.load(self.deepspeed, self.average, folder / STATE)


def process_group(port: int, rank: int = 0, world: int = 1) -> None:
    """Make this process one of `world` on this machine, for code that runs outside Ray Train."""
    os.environ.update(
        {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(world),
            "LOCAL_WORLD_SIZE": str(world),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
    )
    torch.distributed.init_process_group("gloo", rank=rank, world_size=world)
