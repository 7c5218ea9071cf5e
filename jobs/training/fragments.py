"""A rank's training state as fragments of parameters, in safetensors: written by any number of
ranks under any ZeRO stage, read by any other.

DeepSpeed keeps flat float32 tensors a rank, whose cuts depend on the world and the stage, and
pickles them. A fragment says instead which elements of which parameter it holds, so that a reader
takes what its own cuts need. Nothing is gathered: each rank writes what it owns.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from jobs.training import ranks

MASTER, AVERAGE = "master", "average"
MOMENTUM = "momentum_buffer"  # Muon's; ZeRO 1 and 2 keep it for whole parameters
Stored = dict[tuple[str, str], list[tuple[int, int, Any, str]]]  # by name and kind: start, end, …


class FragmentError(RuntimeError):
    """The files do not hold what this rank needs."""


@dataclass(frozen=True)
class Fragment:
    """Elements `start` to `start + size` of a flattened parameter."""

    name: str
    start: int
    size: int
    offset: int  # where they begin in the rank's flat tensor
    whole: int  # elements of the parameter


@dataclass(frozen=True)
class Flat:
    """A rank's float32 master tensor, flat but in stage 0, and the optimizer's state of it."""

    master: Tensor
    fragments: list[Fragment]
    state: dict[str, Any]
    stage: int

    def pieces(self, kind: str) -> Iterator[Fragment]:
        """Where a kind of state has its elements."""
        if kind != MOMENTUM or self.stage not in (1, 2):
            yield from self.fragments
            return
        offset = 0
        for piece in self.fragments:
            yield Fragment(piece.name, 0, piece.whole, offset, piece.whole)
            offset += piece.whole


def flats(engine: Any) -> list[Flat]:  # noqa: ANN401 - a DeepSpeed engine
    """What this rank holds of a DeepSpeed engine's trainable parameters."""
    stage = engine.zero_optimization_stage()
    named = [(n, p) for n, p in engine.module.named_parameters() if p.requires_grad]
    if stage == 0:
        states = engine.optimizer.state
        return [
            Flat(p.data, [Fragment(n, 0, p.numel(), 0, p.numel())], states[p], 0) for n, p in named
        ]
    zero = engine.optimizer
    masters = (
        zero.fp32_partitioned_groups_flat if stage == 3 else zero.single_partition_of_fp32_groups
    )
    found: dict[int, list[Fragment]] = defaultdict(list)
    for name, parameter in named:
        if stage == 3:
            index, offset, size = zero.grad_position[zero.get_param_id(parameter)]
            whole, start = parameter.ds_numel, ranks.rank() * size
            size = min(size, whole - start)  # the last rank's part may be padding
        else:
            mapping = parameter._hp_mapping
            if mapping is None:
                continue
            index, whole = mapping.param_group_index, parameter.numel()
            offset, size = mapping.hp_fragment_address.start, mapping.hp_fragment_address.numel
            start = mapping.lp_fragment_address.start
        if size > 0:
            found[index].append(Fragment(name, start, size, offset, whole))
    return [
        Flat(m, sorted(found[i], key=lambda f: f.offset), zero.optimizer.state[m], stage)
        for i, m in enumerate(masters)
    ]


def save(engine: Any, average: list[Tensor], folder: Path) -> None:  # noqa: ANN401
    """Write this rank's fragments: master weights, their average, the optimizer's state."""
    folder.mkdir(exist_ok=True)
    found = flats(engine)
    if found[0].stage == 0 and ranks.rank():
        return  # every rank holds everything
    tensors = {}
    for flat, mean in zip(found, average, strict=True):
        for kind, value in {MASTER: flat.master, AVERAGE: mean, **flat.state}.items():
            for piece in flat.pieces(kind):
                if not isinstance(value, Tensor):
                    tensors[f"{piece.name}|0|{kind}:int"] = torch.tensor(int(value))
                elif value.ndim == 0:
                    tensors[f"{piece.name}|0|{kind}:scalar"] = value.detach().cpu().clone()
                else:
                    part = value.detach().view(-1).narrow(0, piece.offset, piece.size)
                    tensors[f"{piece.name}|{piece.start}|{kind}"] = part.cpu().clone()
    save_file(tensors, folder / f"rank-{ranks.rank():05d}.safetensors")


def load(engine: Any, average: list[Tensor], folder: Path) -> None:  # noqa: ANN401
    """Fill master weights, average and the optimizer's state from all ranks' files. Collective.

    Raises FragmentError when an element is in none of them.
    """
    with ExitStack() as stack:
        stored = _index(stack, folder)
        kinds: dict[str, set[str]] = defaultdict(set)
        for name, kind in stored:
            kinds[name].add(kind)
        for flat, mean in zip(flats(engine), average, strict=True):
            flat.state.clear()
            for kind in sorted({kind for f in flat.fragments for kind in kinds[f.name]}):
                if ":" in kind:
                    key, form = kind.split(":")
                    _, _, file, full = stored[flat.fragments[0].name, kind][0]
                    value = file.get_tensor(full)
                    flat.state[key] = int(value) if form == "int" else value.clone()
                    continue
                target = {MASTER: flat.master, AVERAGE: mean}.get(kind)
                if target is None:
                    target = flat.state[kind] = _empty(flat, kind, stored)
                for piece in flat.pieces(kind):
                    _fill(target.view(-1).narrow(0, piece.offset, piece.size), piece, kind, stored)
    _spread(engine)


def _index(stack: ExitStack, folder: Path) -> Stored:
    stored: Stored = defaultdict(list)
    for path in sorted(folder.glob("rank-*.safetensors")):
        file = stack.enter_context(safe_open(path, framework="pt"))
        for full in file.keys():  # noqa: SIM118 - not a mapping
            name, start, kind = full.split("|")
            shape = file.get_slice(full).get_shape()
            stored[name, kind].append((int(start), int(start) + (shape or [1])[0], file, full))
    if not stored:
        raise FragmentError(f"{folder} holds no training state")
    return stored


def _empty(flat: Flat, kind: str, stored: Stored) -> Tensor:
    """A state tensor of zeros in the stored type; padding stays zero."""
    _, _, file, full = stored[flat.fragments[0].name, kind][0]
    dtype = file.get_slice(full)[:0].dtype
    if kind == MOMENTUM and flat.stage in (1, 2):
        return torch.zeros(
            sum(f.whole for f in flat.fragments), dtype=dtype, device=flat.master.device
        )
    return torch.zeros_like(flat.master, dtype=dtype)


def _fill(target: Tensor, piece: Fragment, kind: str, stored: Stored) -> None:
    """Copy a piece's elements from whichever files hold them."""
    end = piece.start + piece.size
    done = piece.start
    for start, stop, file, full in sorted(stored.get((piece.name, kind), ()), key=lambda s: s[:2]):
        if stop <= done or start > done or done >= end:
            continue
        part = file.get_slice(full)[done - start : min(stop, end) - start]
        with torch.no_grad():
            target[done - piece.start : done - piece.start + len(part)].copy_(part)
        done += len(part)
    if done < end:
        raise FragmentError(f"{kind} of {piece.name}: elements {done} to {end} are in no file")


def _spread(engine: Any) -> None:  # noqa: ANN401
    """Bring the master weights into the model's own. Collective."""
    stage, zero = engine.zero_optimization_stage(), engine.optimizer
    if stage in (1, 2):
        zero.update_lp_params()
        zero._hp_optimizer_states_linked = False
    if stage == 3:
        for index in range(len(zero.fp32_partitioned_groups_flat)):
            zero._reassign_or_swap_out_partitioned_parameters(index)
