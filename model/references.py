"""References: clean pictures, clips and sounds that the model sees on the clock before its clip.

SkyReels-V4 §3.1: the latents of references are prepended in context, at negative times and with
their own rows and columns, and what the network says of them is dropped. Ours, where the paper is
silent: the clock is in seconds; a reference takes one span of it in both towers, so that a face and
its voice share their time; the first reference stands nearest to the clip, so that its place does
not depend on how many follow; references have t = 1, count as known (condition = latent, mask = 1)
and take part in the exchange between the towers.

Letters: B batch, C latent channels, T video latents, L audio latents, h w latent rows and columns,
R reference latents of the row that has most.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from model.geometry import Geometry
from model.rope import PAPER_AUDIO_SCALE, positions

GAP = 0.25  # seconds between two spans and before the clip: one step of the paper's clock
Kind = Literal["video", "audio"]


@dataclass(frozen=True)
class Reference:
    """One reference of one sample: picture, sound or both, of `geometry`'s length.

    An image is a clip of one frame. Raises ValueError when a latent has not its geometry's shape.
    """

    geometry: Geometry
    video: Tensor | None = None  # [C,T,h,w]
    audio: Tensor | None = None  # [C,L]

    def __post_init__(self) -> None:
        g = self.geometry
        if self.video is None and self.audio is None:
            raise ValueError("a reference needs a picture, a sound or both")
        for kind, latent, shape in (
            ("video", self.video, g.video_shape),
            ("audio", self.audio, g.audio_shape),
        ):
            if latent is not None and tuple(latent.shape) != shape:
                raise ValueError(
                    f"{kind} reference of {tuple(latent.shape)} does not fit its geometry, {shape}"
                )

    def latent(self, kind: Kind) -> Tensor | None:
        """The picture or the sound."""
        return self.video if kind == "video" else self.audio

    def times(self, kind: Kind) -> Tensor:
        """Centres of its latents in seconds from its own start, [T] or [L]."""
        g = self.geometry
        return g.video_times() if kind == "video" else g.audio_times()


@dataclass(frozen=True)
class References:
    """The references of a batch in one tower; rows with fewer are filled up and masked."""

    latent: Tensor  # [B,C,R,h,w] or [B,C,R]
    times: Tensor  # [B,R], seconds before the clip, negative
    there: Tensor  # [B,R] bool, False where a row is filled up

    def positions(self, clock: str, audio: bool, fps: float = 24.0) -> Tensor:
        """Positions in time [B,R], as `model.rope.positions` gives them to the clip.

        On the paper's clock -1 is the last latent before the clip, each before it one less.
        """
        if clock != "paper":
            return positions(self.times, clock, audio, fps)
        later = (self.times[:, None] >= self.times[:, :, None]) & self.there[:, None]
        index = -later.sum(dim=-1).to(self.times)
        return index * PAPER_AUDIO_SCALE if audio else index

    def to(self, device: torch.device, dtype: torch.dtype) -> "References":
        """On another device, the latent in another type."""
        latent, times = self.latent.to(device, dtype), self.times.to(device)
        return References(latent, times, self.there.to(device))

    def twice(self) -> "References":
        """The batch [2B], one after the other."""
        return References(*(torch.cat([x, x]) for x in (self.latent, self.times, self.there)))

    def without(self) -> "References":
        """The same shapes with nothing there."""
        return replace(self, there=torch.zeros_like(self.there))


def starts(references: Sequence[Reference]) -> list[float]:
    """Where each reference's span begins: seconds, negative, the first nearest to the clip."""
    ends = accumulate(GAP + reference.geometry.seconds for reference in references)
    return [-end for end in ends]


def gather(rows: Sequence[Sequence[Reference]]) -> tuple[References | None, References | None]:
    """The references of each sample as a batch for picture and sound; None where nobody has any.

    All pictures must have the size of the clip's.
    """
    return gather_kind(rows, "video"), gather_kind(rows, "audio")


def gather_kind(rows: Sequence[Sequence[Reference]], kind: Kind) -> References | None:
    """The references of a batch in one tower, in the order of their times."""
    latents: list[list[Tensor]] = []
    times: list[list[Tensor]] = []
    for row in rows:
        placed = [
            (latent, start + reference.times(kind))
            for start, reference in zip(starts(row), row, strict=True)
            if (latent := reference.latent(kind)) is not None
        ][::-1]  # the last given is the earliest
        latents.append([latent for latent, _ in placed])
        times.append([when for _, when in placed])
    some = next((latent for row_latents in latents for latent in row_latents), None)
    if some is None:
        return None
    empty = some.movedim(1, 0)[:0]  # [0,C,...]
    frames = [torch.cat([empty, *(x.movedim(1, 0) for x in row)]) for row in latents]  # [R,C,...]
    when = [torch.cat([torch.zeros(0, dtype=torch.float64), *row]) for row in times]
    there = [torch.ones(len(row), dtype=torch.bool) for row in when]
    return References(
        pad_sequence(frames, batch_first=True).movedim(2, 1),
        pad_sequence(when, batch_first=True),
        pad_sequence(there, batch_first=True),
    )
