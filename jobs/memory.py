"""What `generate` will take in memory, before it loads anything: said in one line, refused where it
surely does not fit.

Bytes are those of files and formulae (model/footprint.py), float32. Left out: the process with its
libraries, feature maps inside diffusers' decoders, the encoder of the mp4.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil  # Ray brings its own
import torch

from curation.progress import say
from jobs.clip_request import ClipRequest, sizes
from jobs.config import RecipeError
from jobs.few_steps import sampling_fields
from jobs.generate_config import GenerateConfig
from jobs.pieces import pieces
from jobs.sharp import stills_shape, target
from jobs.training import checkpoint
from model.config import ModelConfig
from model.flops import token_counts
from model.footprint import GIB, decoding_peak, sampling_peak
from model.geometry import AudioSpec, Geometry, VideoSpec
from model.pieces import CONTEXT
from model.text_mllm_folder import PART
from pipelines.encode_config import EMBEDDED

MINILM = 91_000_000  # bytes of its weights
TEXT = 256  # tokens of a prompt: MiniLM's most
SURE = 0.75  # of the estimate: measured needs were 0.90 to 0.95 of it (docs/generate.md)
FLOAT = 4


@dataclass(frozen=True)
class Need:
    """Bytes by part; `clip` is the largest one."""

    weights: int  # of base and refiner
    others: int  # of text encoder and autoencoders
    sampling: int
    decoding: int
    clip: str

    def most(self, device: str) -> int:
        """At once where the model runs."""
        if device == "cuda":
            return self.weights + self.sampling
        return self.others + self.weights + max(self.sampling, self.decoding)


def check_memory(
    asked: Sequence[GenerateConfig | ClipRequest], folder: Path, refiner: Path | None, device: str
) -> None:
    """Say what the clips will take; raises RecipeError naming the fix where it does not fit."""
    need, free = need_of(asked, folder, refiner), free_bytes(device)
    most = need.most(device)
    say(f"generate: {told(need, device)}; {free / GIB:.1f} GiB are free")
    if SURE * most <= free:
        return
    fix = "lower generate.seconds (or frames), height and width"
    if SURE * need.weights > free:
        fix = "take a smaller checkpoint, or a machine with more memory"
    where = "the GPU" if device == "cuda" else "this machine"
    raise RecipeError(
        f"generate needs about {most / GIB:.1f} GiB at once for {need.clip}, {where} has "
        f"{free / GIB:.1f} GiB free; {fix}"
    )


def told(need: Need, device: str) -> str:
    """The estimate in words."""
    parts = {"weights": need.weights, "encoders": need.others, "sampling": need.sampling}
    parts |= {"decoding": need.decoding}
    sums = ", ".join(f"{name} {value / GIB:.2f}" for name, value in parts.items())
    return f"about {need.most(device) / GIB:.2f} GiB at once on {device} ({sums}; {need.clip})"


def need_of(
    asked: Sequence[GenerateConfig | ClipRequest], folder: Path, refiner: Path | None
) -> Need:
    """The most that any of the clips takes. Raises RecipeError for sizes that are not possible."""
    card = checkpoint.read_card(folder)
    sharp = checkpoint.read_card(refiner) if refiner else None
    weights = sum((f / "ema.safetensors").stat().st_size for f in (folder, refiner) if f)
    names = [card["video_vae"]["name"], card["audio_vae"]["name"]]
    others = sum(on_disk(name, "") for name in dict.fromkeys(names))
    text = card["text"]["encoder"]
    others += MINILM if text == EMBEDDED else on_disk(text, PART)
    found = []
    for one in asked:
        sampling, shown = steps_of(one, card, sharp)
        decoding = FLOAT * decoding_peak(shown.frames, shown.height, shown.width)
        clip = f"{shown.frames} frames of {shown.width}x{shown.height}"
        found.append(Need(weights, others, FLOAT * sampling, decoding, clip))
    return max(found, key=lambda need: need.most("cpu"))


def steps_of(
    one: GenerateConfig | ClipRequest, card: dict[str, Any], sharp: dict[str, Any] | None
) -> tuple[int, Geometry]:
    """Most elements of a clip's sampling, and what is decoded in the end."""
    if isinstance(one, ClipRequest):
        small = one.geometry(card)
    else:
        specs = VideoSpec(**card["video_vae"]["spec"]), AudioSpec(**card["audio_vae"]["spec"])
        small = Geometry(**sizes(one, card), video=specs[0], audio=specs[1])
    film, small = small, at_once(one, small, card)
    model = ModelConfig(**card["model"])
    seen, heard = token_counts(model, small)
    seen = 0 if one.make == "audio" else round(seen * with_references(one, small))
    heard = 0 if one.make in ("video", "image") or not model.sound else heard
    stills = stills_shape(card, small) if seen else None
    seen += token_counts(model, stills)[0] if stills else 0
    fields = vars(one) if isinstance(one, ClipRequest) else sampling_fields(one, card)
    guided = (fields["guidance_video"], fields["guidance_audio"]) != (1, 1)
    most = sampling_peak(model, seen, heard, TEXT, 1 + guided)
    if film != small:  # a film of several pieces has no refiner, and decodes more than a piece
        most_decoded = min(film.frames, small.frames + CONTEXT * small.video.time)
        return most, replace(small, frames=most_decoded)
    if sharp is None or not seen:
        return most, small
    large = target(sharp, small)
    refines = ModelConfig(**sharp["model"])
    tokens = round(token_counts(refines, large)[0] * with_references(one, large))
    return max(most, sampling_peak(refines, tokens, 0, TEXT, 1)), large


def at_once(one: GenerateConfig | ClipRequest, film: Geometry, card: dict[str, Any]) -> Geometry:
    """The clip, or the piece of it that is sampled at once. Raises RecipeError."""
    if isinstance(one, ClipRequest):
        frames = one.piece
    else:
        size = {"frames": film.frames, "fps": film.fps}
        frames = pieces(one, card, size, film.video.time).get("piece", 0)
    return replace(film, frames=frames) if frames else film


def with_references(one: GenerateConfig | ClipRequest, geometry: Geometry) -> float:
    """How many times the clip's own the tokens of its picture are; films count as long as it."""
    names = (
        [str(r.role) for r in one.references] if isinstance(one, ClipRequest) else one.references
    )
    films, images = (sum(name.startswith(kind) for name in names) for kind in ("video", "image"))
    return 1 + films + images / geometry.video_shape[1]


def on_disk(name: str, part: str) -> int:
    """Bytes of a network's weights; 0 of what is embedded (12 MB) or on a hub (not known here)."""
    root = Path(name)
    if not root.is_dir():
        return 0
    root = root / part if part and (root / part).is_dir() else root
    return sum(path.stat().st_size for path in root.rglob("*.safetensors"))


def free_bytes(device: str) -> int:
    """Memory that is free for this process."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)
