"""Keyframes made with a clip, and the refiner that makes the clip large with them.

Sizes follow training: a refiner that learnt to double the picture and the rate doubles what the
base makes, whatever its size.

Letters: C latent channels, T h w of the small clip, F H W of the large one, K keyframes.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from curation.files import sha256_file
from curation.media import MediaReader
from jobs.clip_request import ClipRequest, Given
from jobs.clips import Decoders, Latents, Sampling, Scene, Stills, encode_frames, sample
from jobs.clips import Given as Kept
from jobs.config import RecipeError
from jobs.given import Known, begin, known
from jobs.reference_files import references
from jobs.training import checkpoint
from model.config import ModelConfig
from model.geometry import Geometry, whole_frames
from model.guidance import Guidance
from model.mmdit import ready
from model.noise import Draw
from model.refiner import places, put_in_place, upsampled
from model.regions import pool_keep
from pipelines.contract import trained_most

SAME = ("video_vae", "text")  # what base and refiner share


class Refiner:
    """A loaded refiner checkpoint."""

    def __init__(self, folder: Path, base: dict[str, Any], device: torch.device) -> None:
        found = checkpoint.read_weights(folder)
        self.folder, self.card, self.device = folder, found.card, device
        if "refine" not in found.card:
            raise RecipeError(f"generate.refiner: {folder} is no refiner; train.refine makes one")
        for name in SAME:
            if found.card[name]["fingerprint"] != base[name]["fingerprint"]:
                raise RecipeError(
                    f"generate.refiner: {folder} was trained with another {name} than the base"
                )
        self.weights = sha256_file(folder / "ema.safetensors")
        self.model = ready(ModelConfig(**found.card["model"]), found.tensors, device)

    def refine(
        self,
        made: Latents,
        small: Geometry,
        stills: Geometry | None,
        request: ClipRequest,
        text: Tensor,
        decoders: Decoders,
    ) -> tuple[Tensor, Geometry, Known | None]:
        """Latent [C,F,H,W] of the large clip, its geometry, and what is given of it."""
        assert made.picture is not None
        large = target(self.card, small)
        coarse = upsampled(made.picture[None].float(), small, large)
        if made.keyframes is not None and stills is not None:
            coarse = put_in_place(coarse, made.keyframes[None], places(stills, large))
        asked = enlarged(request, small, large)
        given = known(asked, large, decoders.audio.sounds)
        scene = Scene(
            large,
            text,
            Draw(request.seed, "refined clip", 0),
            None if given is None else kept_picture(decoders, given, large),
            references=references(asked, large, decoders),
            silent=True,
        )
        few = self.card.get("distil", {})
        sampling = Sampling(request.refiner_steps, Guidance(), few.get("shift", 1.0))
        sharp = sample(self.model, scene, coarse[0].to(self.device), sampling)
        assert sharp.picture is not None
        return sharp.picture, large, given


def target(card: dict[str, Any], small: Geometry) -> Geometry:
    """What a refiner makes of a small clip: the whole latents that fit into its seconds."""
    bucket = trained_most(card["buckets"])
    high, low = card["buckets"][bucket], card["refine"][bucket]["low"]
    fps = small.fps * high["fps"] / low["fps"]
    return replace(
        small,
        frames=whole_frames(int((small.seconds + 1e-3) * fps), small.video.time),
        height=round(small.height * high["height"] / low["height"]),
        width=round(small.width * high["width"] / low["width"]),
        fps=fps,
    )


def kept_picture(decoders: Decoders, given: Known, geometry: Geometry) -> Kept | None:
    """The latent of the given picture with what of it is kept; the refiner has no sound."""
    if not given.keep.any():
        return None
    keep = pool_keep(torch.from_numpy(given.keep), geometry)
    return Kept(encode_frames(decoders.video, given.pixels), keep)


def enlarged(request: ClipRequest, small: Geometry, large: Geometry) -> ClipRequest:
    """The request at the large clip's size and rate: the same instants of the same files."""
    rate, time = large.fps / small.fps, large.video.time
    moved: list[Given] = []
    with MediaReader() as reader:
        for given in request.given:
            changes: dict[str, Any] = {"frames": large.frames}
            if given.role == "frame":
                at = large.frames - 1 if given.at == small.frames - 1 else round(given.at * rate)
                changes = {"at": min(at, large.frames - 1), "frames": 1}
            elif given.role == "clip":
                first = int(given.at == 0)  # the first latent of a clip is one frame
                frames = first + (int(given.frames * rate) - first) // time * time
                # of its end the same beginning; of its beginning what leads up to the same instant
                start = begin(reader, given, small.fps)
                changes = {"frames": frames, "start": start}
                if not first:
                    changes["at"] = large.frames - frames
            moved.append(given.model_copy(update=changes))
    size = {name: getattr(large, name) for name in ("frames", "height", "width", "fps")}
    return request.model_copy(update={**size, "given": tuple(moved)})


def make_stills(
    card: dict[str, Any], decoders: Decoders, request: ClipRequest, small: Geometry
) -> Stills | None:
    """The keyframes that a base makes with a clip; None where it makes none."""
    shape = stills_shape(card, small)
    if shape is None:
        return None
    return Stills(shape, decoders.black(shape), given_stills(decoders, request, small, shape))


def stills_shape(card: dict[str, Any], small: Geometry) -> Geometry | None:
    """The size of a clip's keyframes; None where a base knows none, or the clip is too short."""
    if "keyframes" not in card:
        return None
    bucket = trained_most(card["buckets"])
    base, keys = card["buckets"][bucket], card["keyframes"][bucket]
    count = int((small.seconds + 1e-3) * keys["fps"])
    if count < 1:
        return None
    return replace(
        small,
        frames=count,
        height=round(small.height * keys["height"] / base["height"]),
        width=round(small.width * keys["width"] / base["width"]),
        fps=keys["fps"],
        video=replace(small.video, time=1),
    )


def given_stills(
    decoders: Decoders, request: ClipRequest, small: Geometry, shape: Geometry
) -> Kept | None:
    """What of the keyframes a request gives: its files at their instants and their size."""
    wide = replace(small, height=shape.height, width=shape.width)
    asked = request.model_copy(update={"height": shape.height, "width": shape.width})
    given = known(asked, wide, decoders.audio.sounds)
    if given is None:
        return None
    seconds = shape.video_times().tolist()
    at = [min(int(second * small.fps + 1e-6), small.frames - 1) for second in seconds]
    keep = pool_keep(torch.from_numpy(given.keep[at]), shape)
    if not keep.any():
        return None
    return Kept(encode_frames(decoders.video, given.pixels[at], stills=True), keep)
