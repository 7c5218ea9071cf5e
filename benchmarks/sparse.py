"""Sparse against dense attention over length: seconds of a forward and backward pass.

Both read the same rotated queries, keys and values: dense is torch's fused kernel, sparse pools,
chooses a tenth of the cubes and reads them with the fused kernel (`model.sparse.gathered` on a CPU,
FlexAttention on a GPU). Grids grow to that of 1080p and 15 s at 16 fps with an autoencoder of
stride 16 (124,440 tokens); heads and width are those of a micro model, so that a CPU ends.
The figure is dense seconds over sparse seconds at the longest sequence that was run.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

import torch
from torch import Tensor
from torch.nn import functional

from model.flops import attention, sparse_attention
from model.sparse import Heads, cube_attention

AIM = 3.0  # VSA's saving of attention, SkyReels-V4 §4.5
SHARE = 0.1
TEXT = 256
HEADS, SIZE = 1, 64
# seconds and size with 16 x 16 pixels and 4 frames a latent, patches of 2: (latents, rows, columns)
GRIDS = {
    "256p 2 s": (9, 8, 14),
    "256p 5 s": (21, 8, 14),
    "480p 5 s": (21, 15, 27),
    "480p 15 s": (61, 15, 27),
    "720p 15 s": (61, 23, 40),
    "1080p 15 s": (61, 34, 60),
}
QUICK = 3  # grids


def heads(grid: tuple[int, int, int], device: torch.device) -> Heads:
    """Random heads of a clip with text."""
    total = grid[0] * grid[1] * grid[2] + TEXT
    made = [torch.randn(1, HEADS, total, SIZE, device=device, requires_grad=True) for _ in range(3)]
    return Heads(made[0], made[1], made[2], torch.zeros(1, 1, 1, total, device=device), 0)


def dense(h: Heads) -> Tensor:
    """All tokens read all."""
    return functional.scaled_dot_product_attention(h.query, h.key, h.value, attn_mask=h.bias)


def seconds(work: Callable[[], Tensor], repeats: int, device: torch.device) -> float:
    """Median time of a forward and backward pass."""
    found = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        work().square().mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - begun)
    return statistics.median(found[1:] or found)


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"the first {QUICK} lengths")
    quick = parser.parse_args().quick
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    ratio, times = 0.0, (0.0, 0.0)
    print(f"{'clip':<12}{'tokens':>9}{'dense s':>10}{'sparse s':>10}{'ratio':>8}{'of FLOPs':>10}")
    for name, grid in list(GRIDS.items())[: QUICK if quick else None]:
        h, tokens = heads(grid, device), grid[0] * grid[1] * grid[2]
        repeats = 3 if tokens < 10_000 else 0

        def sparse(h: Heads = h, grid: tuple[int, int, int] = grid) -> Tensor:
            fine, coarse = cube_attention(h, grid, SHARE)
            return fine + functional.pad(coarse, (0, 0, 0, TEXT))

        def plain(h: Heads = h) -> Tensor:
            return dense(h)

        times = seconds(plain, repeats, device), seconds(sparse, repeats, device)
        ratio = times[0] / times[1]
        width = HEADS * SIZE
        whole = attention(tokens + TEXT, tokens + TEXT, width)
        saved = whole / sparse_attention(tokens, TEXT, width, SHARE)
        print(
            f"{name:<12}{tokens:>9,}{times[0]:>10.3f}{times[1]:>10.3f}{ratio:>8.2f}{saved:>10.2f}"
        )
    print(
        json.dumps(
            {
                "name": "sparse",
                "ratio": round(ratio, 3),
                "aim": AIM,
                "ours": round(times[1], 4),
                "peer": round(times[0], 4),
                "unit": f"s of attention, forward and backward, {SHARE:.0%} of the cubes",
                "versions": {"torch": version("torch")},
                "machine": f"{platform.machine()} {platform.system()}, {device.type}, 1 thread",
            }
        )
    )


if __name__ == "__main__":
    main()
