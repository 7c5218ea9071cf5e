"""Guidance: how far the velocity is pushed away from that of a model that knows less.

v = v_all + (text - 1) * (v_all - v_no_text) + (cross - 1) * (v_all - v_alone)
    + (reference - 1) * (v_all - v_no_references),
scales of their own for picture and sound; 1 pushes nothing. The paper names no guidance; separate
scales and the term of the other modality (v_alone: each tower without the other) follow LTX-2, that
of references the image term of InstructPix2Pix (Brooks 2023, §3.2.1), which nests where this adds;
`rescale` is that of Lin 2023 (Common diffusion noise schedules, §3.4), `interval` that of
Kynkäänniemi 2024.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.tower import Media

# of picture and sound and, where the picture has them, of its keyframes
Velocity = Callable[[Media | None, Media | None], tuple[Tensor | None, ...]]


@dataclass(frozen=True)
class Guidance:
    """How strongly text, the other modality and references pull; 1 is the plain conditional
    model.
    """

    video: float = 1.0
    audio: float = 1.0
    cross_video: float = 1.0  # how strongly the sound pulls the picture
    cross_audio: float = 1.0  # how strongly the picture pulls the sound
    rescale: float = 0.0  # share of the velocity's spread that is set back to the plain one's
    interval: tuple[float, float] = (0.0, 1.0)  # of t, in which guidance works
    reference_video: float = 1.0  # how strongly references pull the picture
    reference_audio: float = 1.0  # how strongly they pull the sound

    @property
    def by_text(self) -> bool:
        """Whether a pass without text is needed."""
        return (self.video, self.audio) != (1, 1)

    @property
    def by_other(self) -> bool:
        """Whether passes of each tower alone are needed."""
        return (self.cross_video, self.cross_audio) != (1, 1)

    @property
    def by_references(self) -> bool:
        """Whether a pass without references is needed."""
        return (self.reference_video, self.reference_audio) != (1, 1)


def guide(model: Velocity, guidance: Guidance) -> Velocity:
    """The guided velocity: text costs one batched pass of twice the size, the other modality one
    more pass of each tower alone, references one without them.
    """
    g = guidance
    if not (g.by_text or g.by_other or g.by_references):
        return model

    def guided(video: Media | None, audio: Media | None) -> tuple[Tensor | None, ...]:
        if not g.interval[0] <= level(video, audio) <= g.interval[1]:
            return model(video, audio)
        plain = model(*map(twice_as_told, (video, audio))) if g.by_text else model(video, audio)
        nothing: tuple[Tensor | None, ...] = (None,) * len(plain)
        alone = unseen = nothing
        if g.by_other and video is not None and audio is not None:
            picture, _, *keyframes = model(video, None)
            alone = picture, model(None, audio)[1], *keyframes
        if g.by_references and any(m and m.references for m in (video, audio)):
            unseen = model(*(m and replace(m, references=None) for m in (video, audio)))
        seen, heard = (g.cross_video, g.reference_video), (g.cross_audio, g.reference_audio)
        scales = [(g.video, *seen), (g.audio, *heard), (g.video, *seen)]
        return tuple(
            pushed(every, (one, none), scale, g)
            for every, one, none, scale in zip(plain, alone, unseen, scales, strict=False)
        )

    return guided


def level(video: Media | None, audio: Media | None) -> float:
    """The t of what is being made: the lower one, where a modality is given."""
    return min(float(media.t.min()) for media in (video, audio) if media is not None)


def twice_as_told(media: Media | None) -> Media | None:
    """The batch twice, the second half without text."""
    if media is None:
        return None
    return replace(
        media,
        latent=twice(media.latent),
        t=twice(media.t),
        text=twice(media.text),
        text_mask=torch.cat([media.text_mask, torch.zeros_like(media.text_mask)]),
        condition=None if media.condition is None else twice(media.condition),
        mask=None if media.mask is None else twice(media.mask),
        references=None if media.references is None else media.references.twice(),
        keyframes=twice_as_told(media.keyframes),
    )


def twice(x: Tensor) -> Tensor:
    """Repeat x [B,...] to [2B,...]."""
    return torch.cat([x, x])


def pushed(
    plain: Tensor | None,
    less: tuple[Tensor | None, ...],
    scales: tuple[float, ...],
    guidance: Guidance,
) -> Tensor | None:
    """The velocity [B,...] from `plain` ([2B,...] with and without text where text guides) and
    from models that know `less`; `scales` are text's and theirs.
    """
    if plain is None:
        return None
    every, none = plain.chunk(2) if guidance.by_text else (plain, plain)
    v = every + (scales[0] - 1) * (every - none)
    for other, scale in zip(less, scales[1:], strict=True):
        if other is not None:
            v = v + (scale - 1) * (every - other)
    if guidance.rescale:
        share = spread(every) / spread(v).clamp_min(1e-6)
        v = guidance.rescale * share * v + (1 - guidance.rescale) * v
    return v


def spread(v: Tensor) -> Tensor:
    """Standard deviation of each sample, [B,1,...]."""
    return v.flatten(1).std(dim=1).reshape(-1, *[1] * (v.dim() - 1))
