"""Which clip goes into which shard: decided before any work, from ids and settings alone.

So a shard has a name before it has bytes; a rerun makes the ones that are missing, and neither
parallelism nor kills can change what is in them.
"""

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from curation.files import fingerprint
from curation.records import Reason, Status
from curation.scores import CROP, crop_of
from model.geometry import AudioSpec, Geometry, VideoSpec, whole_frames
from model.tiles import OVERLAP, SIDE
from pipelines.contract import SCHEMA_VERSION
from pipelines.encode_config import EncodeConfig, Rendition, text_card
from pipelines.ledger import Ledger, Row
from pipelines.shards import Failure

TEXT_TOKENS = 48  # a caption's usual length, to estimate a sample's bytes


@dataclass(frozen=True)
class Inputs:
    """Fingerprints of the ledger tables that an encode pass reads."""

    scan: str
    verdicts: str
    caption: str


@dataclass(frozen=True)
class Makers:
    """What turns media into latents, as far as the plan depends on it."""

    video: VideoSpec
    audio: AudioSpec
    text_dim: int
    video_fingerprint: str
    audio_fingerprint: str
    text_fingerprint: str


@dataclass(frozen=True)
class Task:
    """One planned shard."""

    shard: str
    bucket: str
    clips: tuple[Row, ...]
    earlier: tuple[str, ...] = ()  # sets beside this one that may hold some of the samples
    replay: tuple[str, ...] = ()  # reasons of the failures to try again; none: those of any rerun

    def row(self) -> dict[str, str]:
        """A Ray Data row."""
        rest = {name: json.dumps(getattr(self, name)) for name in ("clips", "earlier", "replay")}
        return {"shard": self.shard, "bucket": self.bucket, **rest}

    @classmethod
    def from_row(cls, row: dict[str, str]) -> "Task":
        """The task of a row."""
        rest = (tuple(json.loads(row[name])) for name in ("clips", "earlier", "replay"))
        return cls(row["shard"], row["bucket"], *rest)


@dataclass
class Plan:
    """A shard set before it is made."""

    name: str
    encode: str
    tasks: list[Task]
    buckets: dict[str, dict[str, Geometry]]
    refused: list[Failure] = field(default_factory=list)

    @property
    def clips(self) -> int:
        """Inputs of the pass: every kept clip."""
        return sum(len(task.clips) for task in self.tasks) + len(self.refused)


def kept_clips(ledger: Ledger, inputs: Inputs) -> list[Row]:
    """Clips whose verdict is ok, with captions, crop and facts of their source, sorted by id."""
    verdicts = {r["clip_id"]: r["status"] for r in ledger.rows(f"verdicts/{inputs.verdicts}")}
    captions = {r["clip_id"]: r for r in ledger.rows(f"scores/caption@{inputs.caption}")}
    sources = {r["path"]: r for r in ledger.rows("sources") if r["fingerprint"] == inputs.scan}
    bars = ledger.read(f"scores/scan@{inputs.scan}", CROP).to_pylist()
    crops = {row["clip_id"]: crop for row in bars if (crop := crop_of(row))}
    kept = []
    for clip in ledger.clips(inputs.scan).to_pylist():
        if verdicts.get(clip["clip_id"]) != Status.OK:
            continue
        source, caption = sources.get(clip["path"], {}), captions.get(clip["clip_id"], {})
        kept.append(
            {name: clip[name] for name in ("clip_id", "source_id", "path", "start_s", "end_s")}
            | {"has_audio": clip["has_audio"], "split": clip["split"]}
            | {"bytes": source.get("bytes"), "mtime_ns": source.get("mtime_ns")}
            | {"captions": {v: caption.get(v) for v in ("short", "long", "structured")}}
            | {"crop": list(crops[clip["clip_id"]]) if clip["clip_id"] in crops else None}
        )
    return kept


def make_plan(config: EncodeConfig, makers: Makers, inputs: Inputs, clips: list[Row]) -> Plan:
    """Shards of `clips`: by bucket, films in the order of their ids' hashes, in equal chunks."""
    check_sizes(config, makers.video.space)
    encode = encode_fingerprint(config, makers, inputs)
    buckets: dict[str, dict[str, Geometry]] = {}
    members: dict[str, list[Row]] = {}
    refused = []
    for clip in clips:
        span = clip["end_s"] - clip["start_s"]
        shapes = {r.name: geometry(r, span, makers) for r in config.renditions}
        short = [r for r in config.renditions if too_short(r, span, shapes[r.name])]
        if short:
            least = 1 if short[0].stills else makers.video.time + 1
            detail = f"{span:.3f} s is less than {least} frames of {short[0].name}"
            refused.append(Failure(clip["clip_id"], Reason.TOO_SHORT, detail))
            continue
        name = "+".join(shape.bucket for shape in shapes.values())
        buckets[name] = shapes
        members.setdefault(name, []).append(clip)
    tasks = []
    for name in sorted(members):
        rows = sorted(members[name], key=_place)
        size = chunk(config, buckets[name], makers)
        count = -(-len(rows) // size)
        edges = [number * len(rows) // count for number in range(count + 1)]
        for start, end in pairwise(edges):  # shards of equal size: no worker waits for a large one
            mine = tuple(rows[start:end])
            inside = [_content(clip, config) for clip in mine]
            tasks.append(Task(f"{name}-{fingerprint([encode, inside])}", name, mine))
    names = [task.shard for task in tasks]
    whole = fingerprint([encode, inputs.verdicts, names, [f.clip_id for f in refused]])
    return Plan(whole, encode, tasks, buckets, refused)


def check_sizes(config: EncodeConfig, stride: int) -> None:
    """Raise ValueError naming a rendition that is not a whole number of latents."""
    for r in config.renditions:
        if r.height % stride or r.width % stride:
            width, height = (max(1, round(side / stride)) * stride for side in (r.width, r.height))
            raise ValueError(
                f"encode.renditions: {r.name} is {r.width}x{r.height}; the video autoencoder takes "
                f"multiples of {stride} pixels, e.g. {width}x{height}"
            )


def geometry(rendition: Rendition, span_s: float, makers: Makers) -> Geometry:
    """The whole latent frames of a rendition that fit into span_s, at most its `frames`."""
    spec = replace(makers.video, time=1) if rendition.stills else makers.video
    frames = whole_frames(min(fit(rendition, span_s), rendition.frames), spec.time)
    size = (rendition.height, rendition.width)
    return Geometry(frames, *size, rendition.fps, spec, makers.audio)


def fit(rendition: Rendition, span_s: float) -> int:
    """Frames of a rendition that are shown in span_s."""
    # 17 frames at 24 fps are 0.70833 s and the ledger may say 0.708: the millisecond finds all 17.
    return int((span_s + 1e-3) * rendition.fps)


def too_short(rendition: Rendition, span_s: float, shape: Geometry) -> bool:
    """Whether a clip lacks a still, or is one frame where more are meant."""
    if rendition.stills:
        return fit(rendition, span_s) < 1
    return shape.frames == 1 < rendition.frames


def named(rendition: Rendition) -> dict[str, Any]:
    """A rendition's settings; without `stills` where it has none, as sets from before it."""
    values = rendition.model_dump(mode="json")
    return values if rendition.stills else {k: v for k, v in values.items() if k != "stills"}


def encode_fingerprint(config: EncodeConfig, makers: Makers, inputs: Inputs) -> str:
    """Names everything that a sample's bytes depend on besides its clip."""
    settings: dict[str, Any] = {"renditions": [named(r) for r in config.renditions]}
    settings |= config.model_dump(mode="json", include={"text"})
    # Named where they change a byte: other sets keep the name they had before.
    tiled = [r.name for r in config.renditions if r.height * r.width > config.tile_above]
    settings |= {"tiled": [tiled, SIDE, OVERLAP]} if tiled else {}
    settings |= {"std": True} if config.store_std else {}
    made_by = [makers.video_fingerprint, makers.audio_fingerprint, makers.text_fingerprint]
    return fingerprint([SCHEMA_VERSION, settings, made_by, inputs.scan, inputs.caption])


def chunk(config: EncodeConfig, shapes: dict[str, Geometry], makers: Makers) -> int:
    """Clips a shard of this bucket."""
    values = len(config.text) * TEXT_TOKENS * makers.text_dim
    for shape in shapes.values():
        values += math.prod(shape.video_shape) * (2 if config.store_std else 1)
    audio = next(iter(shapes.values())).audio_shape
    sample = 2 * (values + audio[0] * audio[1]) + 2048
    return max(1, min(config.shard_clips, int(config.shard_mib * 2**20 / sample)))


def _content(clip: Row, config: EncodeConfig) -> list[Any]:
    """What a sample depends on besides the settings, and may differ under one clip id.

    A sidecar, a transcript or a model's answer may have changed since. A crop is named where there
    is one, so that a set of clips without bars keeps the name it had before bars were cropped.
    """
    words = [clip["captions"].get(variant) for variant in config.text]
    return [clip["clip_id"], words, *([clip["crop"]] if clip.get("crop") else [])]


def _place(clip: Row) -> tuple[bytes, float, str]:
    """Films in the order of their ids' hashes, the clips of one film together and in time.

    Opening a film costs more than reading a clip of it; the stream mixes shards again.
    """
    film = hashlib.blake2b(clip["source_id"].encode(), digest_size=16).digest()
    return film, clip["start_s"], clip["clip_id"]


def origin(config: EncodeConfig, makers: Makers, inputs: Inputs, plan: Plan) -> dict[str, Any]:
    """What made the set, as its contract says it."""
    return {
        "encode": plan.encode,
        "set": plan.name,
        "scan": inputs.scan,
        "verdicts": inputs.verdicts,
        "caption": inputs.caption,
        "renditions": [named(rendition) for rendition in config.renditions],
        "video_vae": {
            "name": config.video_vae,
            "fingerprint": makers.video_fingerprint,
            "spec": vars(makers.video),
            **({"std": True} if config.store_std else {}),
        },
        "audio_vae": {
            "name": config.audio_vae,
            "fingerprint": makers.audio_fingerprint,
            "spec": vars(makers.audio),
        },
        "text": {
            **text_card(config, makers.text_fingerprint, makers.text_dim),
            "variants": list(config.text),
        },
    }
