"""Few steps from many: the velocities that a student learns from its teacher's way.

The way from noise (t = 0) to data (t = 1) is cut into phases of equal numbers of the teacher's
steps. From any point of a phase the student goes to the phase's end e in one straight step, so it
takes one step a phase, by Euler. Its target at t_n, over `ahead` = k of the teacher's steps,

    z'   = z + sum of the teacher's (guided) Euler steps from t_n to t_n+k, not beyond e
    v*   = (z' - z + (e - t_n+k) sg[v_student(z', t_n+k)]) / (e - t_n)

is the phased consistency distillation of Wang 2024 (arXiv 2405.18407, §3.1) written for straight
paths and velocities, as Consistency-FM does (Yang 2024, arXiv 2407.02398, multi-segment); k > 1 is
the soft consistency matching of CTM (Kim 2024, arXiv 2310.02279). With k = a whole phase nothing
is bootstrapped: the target is the teacher's own end of the phase.

Letters: B batch, N steps of the teacher.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.flow import spread
from model.guidance import Velocity
from model.sample import Parts, grid
from model.tower import Media

Move = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Phases:
    """The teacher's steps and the student's among them."""

    times: Tensor  # [N+1] float32, from 0 to 1
    length: int  # steps of the teacher in a phase

    def snapped(self, t: Tensor) -> Tensor:
        """The last of the teacher's times before or at t [B], never 1."""
        return self.times.to(t.device)[self.index(t)]

    def index(self, t: Tensor) -> Tensor:
        """The number of the teacher's step that t [B] lies in."""
        times = self.times[1:-1].to(t.device)
        return torch.searchsorted(times, t.to(times), right=True)

    def end(self, index: Tensor) -> Tensor:
        """The number of the time at which the phase of a step ends."""
        return (index // self.length + 1) * self.length


def phases(count: int, teacher_steps: int, shift: float = 1.0) -> Phases:
    """`count` phases of a teacher's steps. Raises ValueError when they are not of equal length."""
    if count < 1 or teacher_steps % count:
        raise ValueError(f"{teacher_steps} steps of a teacher cannot be cut into {count} phases")
    times = torch.tensor(grid(teacher_steps, shift), dtype=torch.float32)
    return Phases(times, teacher_steps // count)


@torch.no_grad()
def targets(
    teacher: Velocity,
    student: Velocity,
    media: tuple[Media | None, Media | None],
    true: Parts,
    t: Tensor,
    way: Phases,
    ahead: int,
) -> Parts:
    """What the student has to answer at t [B], of `way.times`: float32 velocities of picture,
    sound and, where the picture has them, keyframes.

    `true` are the velocities noise -> data; kept regions move by them, as they do when a clip is
    made, and have them as target. A modality that is wholly given (t = 1) stays where it is.
    """
    first = way.index(t)
    end = way.end(first)
    parts = parts_of(*media)
    begin: Parts = tuple(None if m is None else m.latent.float() for m in parts)
    z = begin
    for step in range(min(ahead, way.length)):
        now = torch.minimum(first + step, end)
        z = moved(teacher, media, z, true, (now, torch.minimum(now + 1, end)), way.times)
    last = torch.minimum(first + min(ahead, way.length), end)
    if ahead < way.length:
        z = moved(student, media, z, true, (last, end), way.times)
    times = way.times.to(t.device)
    whole = times[end] - times[first]
    return tuple(
        None if m is None or a is None or b is None or v is None
        else torch.where(held(m, v), v.float(), (b - a) / spread(whole, a))
        for m, a, b, v in zip(parts, begin, z, true, strict=True)
    )  # fmt: skip


def moved(
    model: Velocity,
    media: tuple[Media | None, Media | None],
    z: Parts,
    true: Parts,
    span: tuple[Tensor, Tensor],
    times: Tensor,
) -> Parts:
    """One Euler step of z from the first to the second of two numbers [B] of `times`."""
    now, after = (times.to(number.device)[number] for number in span)
    placed = [
        None if m is None or x is None
        else replace(m, latent=x.to(m.latent), t=torch.where(m.t >= 1, m.t, now.to(m.t)))
        for m, x in zip(parts_of(*media), z, strict=True)
    ]  # fmt: skip
    video, audio, *keyframes = placed
    if video is not None and keyframes:
        video = replace(video, keyframes=keyframes[0])
    found = model(video, audio)
    return tuple(
        x if m is None or x is None or v is None or truth is None
        else x + spread((after - now) * (m.t < 1), x)
        * torch.where(held(m, truth), truth.float(), v.float())
        for m, x, v, truth in zip(placed, z, found, true, strict=True)
    )  # fmt: skip


def parts_of(video: Media | None, audio: Media | None) -> tuple[Media | None, ...]:
    """Picture, sound and, where the picture has them, keyframes."""
    keyframes = [video.keyframes] if video is not None and video.keyframes is not None else []
    return video, audio, *keyframes


def held(media: Media, like: Tensor) -> Tensor:
    """What of a modality is kept, bool, to be broadcast over `like`."""
    if media.mask is None:
        return torch.zeros(1, dtype=torch.bool, device=like.device)
    return media.mask.bool()
