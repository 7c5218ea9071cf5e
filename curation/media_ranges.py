"""Which bytes of an mp4 hold what is shown and heard in some spans of it, by its index alone.

Runs in the decoder's child on a file whose media data need not be there. Margins are wide: a reader
that meets a hole after all complains, and the film is then fetched whole.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.media_index import picture_stream, sound_stream
from curation.media_sound import STRETCH_S

# Demuxed without a look into the packets; others are cut, or timed, by what is in them.
CODECS = {"h264", "hevc", "libdav1d", "av1", "aac", "opus", "libopus", "alac"}
PROBE_BYTES = 5_000_000  # what libavformat reads of a file's beginning at most, to know its streams
AROUND_S = 2.0  # before and after a span: decoders begin earlier
RESAMPLED_S = 1.1  # before sound: the resampler begins where both rates have a sample
KEYS_BACK = 2  # pictures after an open group refer to the group before; readers begin two before
PACKETS_ON = 32  # pictures come out of order, 16 at the most
GAP = 1 << 20  # bytes that are as quickly fetched as left out
MOST = 1_000  # ranges: more is a film whose sound lies far from its pictures

Spans = Sequence[tuple[float, float | None]]
Ints = NDArray[np.int64]


def byte_ranges(container: Any, spans: Spans) -> list[tuple[int, int]] | None:  # noqa: ANN401 - av
    """(first byte, bytes) in order, without overlap. None where only the whole film will do."""
    streams = [s for s in container.streams if s.type in ("video", "audio")]
    if not all(s.codec_context is not None and _known(s.codec_context.name) for s in streams):
        return None
    picture, sound = picture_stream(container), sound_stream(container)
    clock = picture if picture is not None else sound
    if clock is None:
        return None
    zero = float((clock.start_time or 0) * clock.time_base)
    found = [_head(container)]
    for stream in (picture, sound):
        if stream is None:
            continue
        index = _index(stream)
        if not len(index):  # fragments, which are found as they are read
            return None
        times = index[:, 2] * float(stream.time_base) - zero
        keys = np.flatnonzero(index[:, 3])
        for start, end in spans:
            begin = start if stream is picture else (start - RESAMPLED_S) // STRETCH_S * STRETCH_S
            found.append(index[_packets(times, keys, begin, end)][:, :2])
    merged = _merged(np.concatenate(found))
    return merged if len(merged) <= MOST else None


def _known(codec: str) -> bool:
    return codec in CODECS or codec.startswith("pcm_")


def _head(container: Any) -> Ints:  # noqa: ANN401
    """(first byte, bytes) of the packets that opening a film may read: int64 [N,2]."""
    rows, total = [(0, 0)], 0
    for packet in container.demux():
        if packet.size and packet.pos is not None:
            rows.append((packet.pos, packet.size))
            total += packet.size
        if total > PROBE_BYTES:
            break
    return np.array(rows, np.int64)


def _index(stream: Any) -> Ints:  # noqa: ANN401
    """(first byte, bytes, dts, keyframe) of every packet in decoding order: int64 [N,4]."""
    rows = [(e.pos, e.size, e.timestamp, e.is_keyframe) for e in stream.index_entries]
    return np.array(rows, np.int64).reshape(-1, 4)


def _packets(
    times: NDArray[np.floating[Any]], keys: NDArray[np.intp], start: float, end: float | None
) -> slice:
    """Packets, decoded at `times` [N] seconds, that reading from `start` to `end` may touch."""
    before = np.searchsorted(times, start - AROUND_S, "right") - 1
    place = np.searchsorted(keys, before, "right") - 1 - KEYS_BACK
    first = int(keys[place]) if place >= 0 else 0
    if end is None:
        return slice(first, None)
    return slice(first, int(np.searchsorted(times, end + AROUND_S, "right")) + PACKETS_ON)


def _merged(rows: Ints) -> list[tuple[int, int]]:
    """Ranges in order; those with less than GAP between them are one."""
    rows = rows[np.argsort(rows[:, 0])]
    found: list[tuple[int, int]] = []
    for start, count in rows[rows[:, 1] > 0].tolist():
        if found and start <= sum(found[-1]) + GAP:
            begin, held = found[-1]
            found[-1] = begin, max(held, start + count - begin)
        else:
            found.append((start, count))
    return found
