"""Films longer than a model makes at once: piece by piece, each going on from the latents before.

What two pieces share, the later one is given: picture latents as they are but for its first, which
is one frame, decoded and encoded again; sound latents as they are. The film's latents are decoded
as one stream, the sound at once, so that no cut between pieces is a cut in the film.

Letters: C channels, T L latents of picture and sound, F frames, H W pixels, S samples.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from curation.files import atomic
from curation.media_write import write_clip
from curation.progress import progress
from jobs.clip_request import ClipRequest
from jobs.clips import Decoders, Film, Given, Latents, Scene, encode_frames
from jobs.given import Known, known
from jobs.paste import faded, resampled
from jobs.pictures import STRIP_FRAMES
from jobs.shots import within
from model.geometry import Geometry
from model.noise import Draw
from model.pieces import CONTEXT, Piece, cut, decoded_in_time
from model.tiles import decode_whole_or_tiled

# a request, its geometry, what is changed of its scene -> what is made
Make = Callable[[ClipRequest, Geometry, Callable[[Scene], Scene]], Latents]


@dataclass(frozen=True)
class Made:
    """Latents of a film as far as it is made: [C,T,h,w] and [C,L]."""

    picture: Tensor | None = None
    sound: Tensor | None = None
    pieces: int = 0

    def save(self, path: Path) -> None:
        """Write it, so that a stopped film goes on."""
        tensors = {"picture": self.picture, "sound": self.sound}
        with atomic(path) as temporary:
            save_file(
                {name: x.contiguous() for name, x in tensors.items() if x is not None}
                | {"pieces": torch.tensor(self.pieces)},
                temporary,
            )

    @staticmethod
    def load(path: Path) -> "Made":
        """What `save` wrote; nothing where it did not."""
        if not path.is_file():
            return Made()
        found = load_file(path)
        return Made(found.get("picture"), found.get("sound"), int(found["pieces"]))


def make_long(
    request: ClipRequest, film: Geometry, decoders: Decoders, make: Make, path: Path
) -> Film:
    """Write the film of a request of several pieces; what comes back has STRIP_FRAMES of its frames
    and all of its sound. A stopped film goes on after the last whole piece.
    """
    pieces = cut(film, request.piece, request.overlap)
    keep = path.with_suffix(".pieces.safetensors")
    made = Made.load(keep)
    with progress(path.stem, len(pieces), "pieces") as advance:
        advance(made.pieces)
        for piece in pieces[made.pieces :]:
            made = extended(made, piece, part(request, piece), decoders, make)
            made.save(keep)
            advance()
    shown = write(request, film, pieces, made, decoders, path)
    keep.unlink()
    return shown


def part(request: ClipRequest, piece: Piece) -> ClipRequest:
    """A piece's own request: its frames, its shots, and what of the files falls into it."""
    given = []
    for one in request.given:
        at = one.at - piece.start
        if one.role == "frame" and 0 <= at < piece.frames:
            given.append(one.model_copy(update={"at": at}))
        elif one.role == "clip" and not piece.start:
            given.append(one)
    end = piece.seconds_before + piece.seconds
    return request.model_copy(
        update={
            "frames": piece.frames,
            "given": tuple(given),
            "prompt": within(request.prompt, piece.seconds_before, end),
        }
    )


def extended(
    made: Made, piece: Piece, request: ClipRequest, decoders: Decoders, make: Make
) -> Made:
    """The film with one more piece. Raises ValueError for NaN or Inf."""

    def goes_on(scene: Scene) -> Scene:
        name = f"clip from frame {piece.start}" if piece.start else "clip"
        return replace(
            scene,
            draw=Draw(request.seed, name, 0),
            video=given_picture(made.picture, piece, scene.video, decoders),
            audio=given_sound(made.sound, piece, scene.audio),
        )

    found = make(request, piece, goes_on)
    parts = [found.picture, found.sound]
    if not all(bool(torch.isfinite(x).all()) for x in parts if x is not None):
        raise ValueError("the sampler gave NaN or Inf: the checkpoint is not usable")
    picture = joined(made.picture, parts[0], piece.latents_before)
    return Made(picture, joined(made.sound, parts[1], piece.sound_before), made.pieces + 1)


def joined(before: Tensor | None, new: Tensor | None, begin: int) -> Tensor | None:
    """Latents before and what a piece that begins at the latent `begin` adds to them."""
    if before is None or new is None:
        return new
    return torch.cat([before, new[:, before.shape[1] - begin :]], dim=1)


def given_picture(
    film: Tensor | None, piece: Piece, given: Given | None, decoders: Decoders
) -> Given | None:
    """What of a piece's picture is known: files, and over them what the film has already."""
    if film is None or not piece.start:
        return given
    begin, there = piece.latents_before, film.shape[1]
    if given is None:
        shape = piece.video_shape
        given = Given(torch.zeros(shape), torch.zeros(1, *shape[1:]))
    latent, keep = given.latent.clone(), given.keep.clone()
    latent[:, 1 : there - begin] = film[:, begin + 1 :]
    latent[:, :1] = still(film, begin, decoders)
    keep[:, : there - begin] = 1
    return Given(latent, keep)


@torch.no_grad()
def still(film: Tensor, number: int, decoders: Decoders) -> Tensor:
    """The last frame of the film's latent `number`, as a latent [C,1,h,w] of its own."""
    seen = film[None, :, max(0, number - CONTEXT) : number + 1].float()
    frame = decode_whole_or_tiled(decoders.video, seen)[0, :, -1:]
    return encode_frames(decoders.video, to_uint8(frame))


def given_sound(film: Tensor | None, piece: Piece, given: Given | None) -> Given | None:
    """What of a piece's sound is known, as with its picture."""
    if film is None or not piece.start:
        return given
    there = film.shape[1] - piece.sound_before
    latent, keep = torch.zeros(piece.audio_shape), torch.zeros(1, piece.audio_latents)
    latent[:, :there] = film[:, piece.sound_before :]
    keep[:, :there] = 1
    return Given(latent, keep)


@torch.no_grad()
def write(
    request: ClipRequest,
    film: Geometry,
    pieces: list[Piece],
    made: Made,
    decoders: Decoders,
    path: Path,
) -> Film:
    """Decode the film and write it as it is decoded; its sound, and a few frames to look at."""
    assert made.picture is not None
    rate, mute = decoders.audio.decoded_rate, request.make == "video"
    if made.sound is None:
        samples = np.zeros((decoders.audio.sounds, round(film.seconds * rate)), np.float32)
    else:
        heard = decoders.audio.decode(made.sound[None].float(), samples=film.samples)[0]
        samples = heard.float().clamp(-1, 1).cpu().numpy()
    looked = set(np.linspace(0, film.frames - 1, STRIP_FRAMES).round().astype(int).tolist())
    kept: list[NDArray[np.uint8]] = []
    first = known(part(request, pieces[0]), pieces[0], decoders.audio.sounds)
    whole = Film(np.zeros((0, film.height, film.width, 3), np.uint8), samples, rate, film, mute)
    if first is not None and first.samples is not None and first.heard is not None:
        samples = np.zeros((len(first.samples), film.samples), np.float32)
        samples[:, : first.samples.shape[1]] = first.samples
        sound = resampled(replace(first, samples=samples), whole)
        whole = replace(whole, samples=faded(whole.samples, sound, first.heard, rate))

    def frames() -> Iterator[NDArray[np.uint8]]:
        at_once = pieces[0].latent_frames
        decoded = decoded_in_time(decoders.video, made.picture, at_once)  # type: ignore[arg-type]
        for number, frame in enumerate(pasted(request, pieces, decoded, decoders)):
            if number in looked:
                kept.append(frame)
            yield frame

    write_clip(path, frames(), film.fps, None if mute else whole.samples, rate)
    return replace(whole, pixels=np.stack(kept))


def pasted(
    request: ClipRequest, pieces: list[Piece], decoded: Iterator[Tensor], decoders: Decoders
) -> Iterator[NDArray[np.uint8]]:
    """Frames [H,W,3] with what the files give put back; files are read a piece at a time."""
    number, at = 0, -1
    given: Known | None = None
    for pixels in decoded:
        for frame in to_uint8(pixels):
            if at + 1 < len(pieces) and number >= shared_until(pieces, at + 1):
                at += 1
                given = known(part(request, pieces[at]), pieces[at], decoders.audio.sounds)
            if given is None:
                yield frame
            else:
                inside = number - pieces[at].start
                yield np.where(given.paste[inside][..., None], given.pixels[inside], frame)
            number += 1


def shared_until(pieces: list[Piece], number: int) -> int:
    """The first frame that a piece alone has made."""
    if number == 0:
        return 0
    return pieces[number - 1].start + pieces[number - 1].frames


def to_uint8(pixels: Tensor) -> NDArray[np.uint8]:
    """Pixels [3,F,H,W] in −1…1 as uint8 [F,H,W,3]."""
    frames = ((pixels.permute(1, 2, 3, 0) + 1) * 127.5).round().clamp(0, 255)
    return frames.to(torch.uint8).cpu().numpy()
