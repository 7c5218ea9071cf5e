"""Sequence parallelism on two gloo ranks: the outputs and gradients of one rank."""

import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file

from jobs.training.ulysses import Ulysses
from tests.model.helpers import make_media, make_model, make_reference, with_references

RANKS = 2
CASES = ({}, {"parallel_single": True, "text_refiner": 1})


def step(shards=None, **changes) -> dict[str, torch.Tensor]:
    """Outputs and gradients of one step, by name."""
    model = make_model(awake=True, dual=1, single=1, **changes)
    model.shards = shards
    media = make_media(tokens=5)
    media[0].text_mask[1, 3:] = False
    out = model(*media)
    sum((v - 1).square().mean() for v in out).backward()
    grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {"picture": out[0].detach(), "sound": out[1].detach(), **grads}


def rank_main(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    where = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=where, rank=rank, world_size=RANKS)
    for number, changes in enumerate(CASES):
        found = step(Ulysses(), **changes)
        for name, value in found.items():
            if name not in ("picture", "sound"):
                dist.all_reduce(value)
                value.div_(RANKS)
        whole = {name: value.contiguous() for name, value in found.items()}
        save_file(whole, f"{folder}/{number}-{rank}.safetensors")
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow  # two processes that import torch
def test_two_ranks_are_one(tmp_path):
    """Catches tokens in a wrong order, heads that are mixed, gradients that are lost or doubled."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(rank_main, (port, str(tmp_path)), nprocs=RANKS)
    for number, changes in enumerate(CASES):
        alone = step(**changes)
        for rank in range(RANKS):
            found = load_file(tmp_path / f"{number}-{rank}.safetensors")
            assert found.keys() == alone.keys()
            for name, value in alone.items():
                torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)


class Three:
    count = 3


def test_what_cannot_be_shared_out_is_refused():
    """Catches a share that drops tokens, and references whose place would be lost."""
    model = make_model()
    model.shards = Three()
    with pytest.raises(ValueError, match="multiples of 3 ranks"):
        model(*make_media())
    model.shards.count = 1
    with pytest.raises(ValueError, match="references"):
        model(*with_references(make_media(), [[make_reference(3)], []]))
