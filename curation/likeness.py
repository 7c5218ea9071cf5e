"""Which clips repeat each other: a perceptual hash a frame, a hash of eight instants a clip."""

from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

INSTANTS = 8
BITS = 64 * INSTANTS
# Of the bits. Bad re-encodes (crf 36) of textured films differ by 18 to 86 of 512, of plain ones by
# 12 to 166: those of the plain are mostly missed. Other textured films differ by 170 at least, but
# one ball on a plain wall by as little as 18 from another that falls alike, so the level decides.
NEAR = 0.1
SAME_LEVEL = 0.012  # of full scale, brightness and contrast both: 3 of 255; a re-encode moves 1
BAND_BITS = 16  # two clips are compared when any 16 bits in a row agree: 32 chances a pair
CROWDED = 64  # clips that share one band beyond this number say nothing (plain backgrounds)


def frame_hash(luma: NDArray[np.uint8]) -> int:
    """64 bits of one picture: signs of its 8x8 lowest frequencies around their median."""
    small = cv2.resize(luma, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    bits = low > np.median(low[1:])  # the mean level must not sway the threshold
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def clip_hash(hashes: NDArray[np.uint64]) -> str:
    """The hash of a clip from its frames' hashes [N], as hex; instants are spread evenly."""
    places = ((np.arange(INSTANTS) + 0.5) / INSTANTS * len(hashes)).astype(int)
    return "".join(f"{int(hashes[i]):016x}" for i in places)


def find_repeats(
    hashes: Sequence[str | None], levels: NDArray[np.float64], rank: Sequence[object]
) -> dict[int, int]:
    """Which clip (by index) repeats which: the one of lowest `rank` among its likes is kept.

    `levels` [N,2] are brightness and contrast in 0..1. Clips without a hash repeat nothing.
    """
    known = [i for i, h in enumerate(hashes) if h]
    if len(known) < 2:
        return {}
    packed = np.array(
        [np.frombuffer(bytes.fromhex(hashes[i] or ""), np.uint8) for i in known], np.uint8
    )
    order = sorted(range(len(known)), key=lambda k: rank[known[k]])  # type: ignore[arg-type,return-value]
    seen: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    repeats: dict[int, int] = {}
    step = BAND_BITS // 8
    for k in order:
        bands = [(b, packed[k, b : b + step].tobytes()) for b in range(0, BITS // 8, step)]
        others = sorted({o for band in bands if len(seen[band]) <= CROWDED for o in seen[band]})
        if others:
            distance = np.bitwise_count(packed[others] ^ packed[k]).sum(axis=1)
            apart = np.abs(levels[[known[o] for o in others]] - levels[known[k]]).max(axis=1)
            distance = np.where(apart <= SAME_LEVEL, distance, BITS)
            best = int(distance.argmin())
            if distance[best] <= NEAR * BITS:
                repeats[known[k]] = known[others[best]]
                continue
        for band in bands:
            seen[band].append(k)
    return repeats
