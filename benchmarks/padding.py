"""What is computed for nobody in an epoch: our plan of batches, fixed buckets, sequential buckets.

Lengths are those of clips that a scan cut out of real films (LENGTHS). All three train the same
clips of 256x256 at 16 frames a second on the same ranks; a clip costs what model/flops.py says of
its real length, and a step takes as long as the rank with most to do.

- ours: `pipelines/plan_batches.py`. A bucket a length; a global batch is of one bucket, as many
  samples as cost about the same, and ranks share it evenly.
- fixed: a few lengths; a clip is padded up to the next, a rank's batch is constant. Each rank goes
  its own way through the buckets.
- together: the same, and all ranks are in one bucket at a time.
- sequential: clips in shuffled order, cut into batches of constant size; a rank's batch is padded
  up to its longest clip.

The ratio is cost paid a unit of useful cost, the best peer's by ours. Text is left out: all pad
it alike.
"""

import argparse
import json
import platform
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from model.config import named_config
from model.flops import forward_flops, token_counts
from model.geometry import Geometry, whole_frames
from pipelines.plan_batches import Plan, batch_sizes, permutation

AIM = 1.0
FPS, SIDE, PER_RANK = 16.0, 256, 4
FIXED = (2.0, 4.0, 8.0, 15.0)  # seconds
TEXT = 32
# seconds, to the nearest half -> clips: `reelmill scan` of 4 sample films (`reelmill samples`)
# with scan.window {fps: 16, min_s: 1, max_s: 15}, 2026-11-23
LENGTHS = {
    1.0: 6, 1.5: 32, 2.0: 14, 2.5: 16, 3.0: 14, 3.5: 9, 4.0: 6, 4.5: 5, 5.0: 5, 5.5: 4, 6.5: 4,
    7.0: 4, 7.5: 2, 8.0: 1, 8.5: 4, 9.5: 3, 10.0: 2, 10.5: 2, 11.5: 1, 12.0: 1, 15.0: 10,
}  # fmt: skip
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def costs_of(frames: Ints) -> tuple[Floats, Floats]:
    """FLOPs of a forward pass and tokens of clips [N] by their frames."""
    config = named_config("1b")
    known = {}
    for count in np.unique(frames).tolist():
        shape = Geometry(count, SIDE, SIDE, FPS)
        video, sound = token_counts(config, shape)
        known[count] = forward_flops(config, video, sound, TEXT), video + sound
    values = np.array([known[count] for count in frames.tolist()], dtype=np.float64)
    return values[:, 0], values[:, 1]


def drawn(clips: int) -> Ints:
    """Frames of `clips` clips with the recorded lengths' shares."""
    seconds = np.repeat(np.array(list(LENGTHS)), list(LENGTHS.values()))
    chosen = seconds[permutation(clips, "lengths") % len(seconds)]
    return np.array([whole_frames(round(s * FPS)) for s in chosen.tolist()], dtype=np.int64)


def ours(frames: Ints, world: int) -> dict[str, float]:
    """The plan that training follows, one epoch of it."""
    lengths, buckets = np.unique(frames, return_inverse=True)
    each, _ = costs_of(lengths)
    counts = np.bincount(buckets).tolist()
    sizes = batch_sizes(each.tolist(), counts, PER_RANK * world, world)
    plan = Plan(np.arange(len(frames)) // 256, buckets.astype(np.int64), sizes, seed=0)
    cost, _ = costs_of(frames)
    steps = []
    for number in range(plan.length(0)):
        rows = plan.batch(0, number).rows
        slots = [rows[len(rows) * r // world : len(rows) * (r + 1) // world] for r in range(world)]
        steps.append([cost[slot].sum() for slot in slots])
    paid = np.array(steps)
    return measured(paid, paid.sum(), padding=0.0)


def fixed(frames: Ints, world: int) -> dict[str, float]:
    """Clips padded up to one of FIXED; every rank draws its own bucket for a step."""
    padded, batches = in_buckets(frames, PER_RANK)
    pool = np.concatenate(batches)
    return dealt(pool[permutation(len(pool), "pool")], frames, padded, world)


def together(frames: Ints, world: int) -> dict[str, float]:
    """Clips padded up to one of FIXED; the ranks of a step share a bucket."""
    padded, batches = in_buckets(frames, PER_RANK * world)
    return dealt(np.concatenate(batches).reshape(-1, PER_RANK), frames, padded, world)


def in_buckets(frames: Ints, size: int) -> tuple[Ints, list[Ints]]:
    """Frames [N] padded up to one of FIXED, and batches [n, size] of each bucket, shuffled."""
    edges = np.array([whole_frames(round(s * FPS)) for s in FIXED])
    padded = edges[np.searchsorted(edges, frames).clip(max=len(edges) - 1)]
    batches = []
    for edge in edges.tolist():
        rows = np.flatnonzero(padded == edge)
        whole = len(rows) // size * size
        batches.append(rows[permutation(len(rows), "fixed", edge)][:whole].reshape(-1, size))
    return padded, batches


def sequential(frames: Ints, world: int) -> dict[str, float]:
    """Constant batches in shuffled order, each padded up to its longest clip."""
    whole = len(frames) // PER_RANK * PER_RANK
    pool = permutation(len(frames), "sequential")[:whole].reshape(-1, PER_RANK)
    padded = frames.copy()
    padded[pool] = frames[pool].max(axis=1, keepdims=True)
    return dealt(pool, frames, padded, world)


def dealt(pool: Ints, frames: Ints, padded: Ints, world: int) -> dict[str, float]:
    """Ranks' batches [n, PER_RANK] dealt out in order, a row a rank and step."""
    pool = pool[: len(pool) // world * world]
    cost, tokens = costs_of(frames)
    more, computed = costs_of(padded)
    paid = more[pool].sum(axis=1).reshape(-1, world)
    padding = 1 - tokens[pool].sum() / computed[pool].sum()
    return measured(paid, float(cost[pool].sum()), float(padding))


def measured(paid: Floats, useful: float, padding: float) -> dict[str, float]:
    """What steps [n, world] cost: padding, slowest rank by the mean, spread of steps, and price."""
    slowest = paid.max(axis=1)
    return {
        "padding": padding,
        "imbalance": float((slowest / paid.mean(axis=1)).mean()),
        "spread": float(np.quantile(slowest, 0.95) / slowest.mean()),
        "price": float(slowest.sum() * paid.shape[1] / useful),
    }


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 clips on 8 ranks")
    clips, world = (20_000, 8) if parser.parse_args().quick else (400_000, 64)
    frames = drawn(clips)
    found = {one.__name__: one(frames, world) for one in (ours, fixed, together, sequential)}
    for name, value in found.items():
        print(
            f"{name:<10} padding {value['padding']:.1%}, slowest rank {value['imbalance']:.3f} of "
            f"the mean, dear steps {value['spread']:.2f} of the mean, paid {value['price']:.3f} "
            "for each useful FLOP"
        )
    mine = found["ours"]["price"]
    theirs = min(value["price"] for name, value in found.items() if name != "ours")
    print(f"{clips} clips, {world} ranks, lengths of {sum(LENGTHS.values())} recorded clips")
    print(
        json.dumps(
            {
                "name": "padding",
                "ratio": round(theirs / mine, 3),
                "aim": AIM,
                "ours": round(mine, 4),
                "peer": round(theirs, 4),
                "unit": "FLOPs paid a useful FLOP",
                "versions": {"numpy": version("numpy")},
                "machine": f"{platform.machine()} {platform.system()}",
            }
        )
    )


if __name__ == "__main__":
    main()
