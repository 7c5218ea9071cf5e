"""Activation checkpointing by block: what the backward pass computes again instead of keeping.

`none` keeps everything. `block` keeps the token lists between blocks and runs each block again
(Chen et al. 2016, arXiv 1604.06174). `selective` does so but keeps what attention gave, the one
part of a block whose cost grows with the square of the tokens.
"""

from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

Recompute = Literal["none", "block", "selective"]
ATTENTION = (
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
)


def run(block: nn.Module, mode: Recompute, *states: Any) -> Any:  # noqa: ANN401 - the block's own
    """The block's answer. Blocks draw nothing at random, so no generator is kept."""
    if mode == "none" or not torch.is_grad_enabled():
        return block(*states)
    more: dict[str, Any] = {}
    if mode == "selective":
        more["context_fn"] = partial(create_selective_checkpoint_contexts, keep_attention)
    return checkpoint(block, *states, use_reentrant=False, preserve_rng_state=False, **more)


def keep_attention(_context: Any, operation: Any, *_: Any, **__: Any) -> CheckpointPolicy:  # noqa: ANN401
    """Keep what fused attention gives; compute everything else again."""
    name = operation._schema.name.removeprefix("aten::")
    kept = name in ATTENTION
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE
