"""Settings of the judges, and the names of their tables. Loads without any model's library."""

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from curation.files import fingerprint, sha256_file
from curation.judges.columns import COLUMNS
from curation.judges.models import MODELS, PACKAGES
from curation.judges.onnx_net import Device
from curation.read_ahead import BESIDE_A_GPU
from curation.settings import Settings

Judge = Literal["text", "faces", "safety", "looks", "embed", "events", "voice", "agree", "lips"]

PICTURE = ("text", "faces", "safety", "looks", "embed", "agree", "lips")  # judges that look

# Raised when the same settings and models give other columns.
VERSIONS: dict[str, int] = {judge: 2 if judge in PICTURE else 1 for judge in COLUMNS} | {"lips": 3}


class ClipModel(Settings):
    """An open_clip model whose files are on this machine; nothing is ever downloaded."""

    name: str = Field("", description="open_clip architecture, e.g. ViT-L-14; empty: EfficientNet")
    weights: str = Field("", description="file of pretrained weights for that architecture")
    head: str = Field("", description="aesthetic head, safetensors: weight [1,D] and bias [1]")


class LipsModel(Settings):
    """A SyncNet-type network: (mouths [B,T,H,W,3], mel [B,F,M]) -> two embeddings [B,D]."""

    path: str = Field("", description="file, .onnx or TorchScript; empty: mouth motion alone")
    fps: float = Field(25, gt=0, description="frames a second that the network was trained on")
    frames: int = Field(5, ge=1, le=50, description="T, mouth crops at once")
    size: tuple[int, int] = Field((96, 96), description="H, W of a crop, RGB in 0…1")
    mel_frames: int = Field(20, ge=1, description="F, steps of the log-mel over the same time")
    mels: int = Field(
        80, ge=0, description="M, mel bands from 55 Hz to 7600 Hz; 0: the file gets the sound"
    )
    eyes_to_mouth: float = Field(
        0.5, gt=0, le=1, description="from the eyes to the mouth, as a share of the crop's height"
    )


class JudgeConfig(Settings):
    """Which judges look at the clips, and what they are shown."""

    judges: tuple[Judge, ...] = Field(
        (), description=f"judges to run, of {', '.join(COLUMNS)}; none: the pass does nothing"
    )
    side: int = Field(360, ge=64, le=1080, description="short side in pixels of what judges see")
    rate: float = Field(2.0, gt=0, le=10, description="frames a second looked at for faces")
    stills: int = Field(3, ge=2, le=16, description="of these, how many text, looks and tags see")
    clip: ClipModel = Field(default_factory=ClipModel)
    lips: LipsModel = Field(default_factory=LipsModel)
    device: Device = Field("cpu", description="where the networks run")
    workers: int = Field(0, ge=0, description="judging workers; 0 takes every CPU, or every GPU")
    readers: int | None = Field(
        None, ge=0, le=32, description="decoders ahead of each worker; null: 4 on a GPU, else none"
    )

    @field_validator("judges")
    @classmethod
    def distinct(cls, judges: tuple[Judge, ...]) -> tuple[Judge, ...]:
        """One table a judge, in the order of the columns, however they were listed."""
        return tuple(sorted(set(judges), key=list(COLUMNS).index))

    @property
    def ahead(self) -> int:
        """How many decoders work ahead of a worker's networks."""
        if self.readers is not None:
            return self.readers
        return BESIDE_A_GPU if self.device == "cuda" else 0

    def files(self) -> dict[str, str]:
        """Adapter files by the recipe's field; only those that are given."""
        named = {
            "judge.clip.weights": self.clip.weights,
            "judge.clip.head": self.clip.head,
            "judge.lips.path": self.lips.path,
        }
        return {field: path for field, path in named.items() if path}

    def settings_of(self, judge: str) -> dict[str, Any]:
        """What the columns of one judge depend on: settings, models, versions."""
        values: dict[str, Any] = {"judge": judge, "version": VERSIONS[judge]}
        if judge in PICTURE:
            values |= {"side": self.side, "rate": self.rate, "stills": self.stills}
        if judge in ("looks", "embed") and self.clip.name:
            values |= {"clip": self.clip.name, "weights": content(self.clip.weights)}
        if judge == "looks" and self.clip.head:
            values |= {"head": content(self.clip.head)}
        if judge == "lips" and self.lips.path:
            values |= {
                "lips": self.lips.model_dump(mode="json") | {"path": content(self.lips.path)}
            }
        return values | {
            "models": {asset.name: asset.sha256 for asset in MODELS[judge]},
            "packages": PACKAGES[judge],
        }

    def tables(self) -> dict[str, str]:
        """The ledger table of every judge of the recipe."""
        return {j: f"scores/{j}@{fingerprint(self.settings_of(j))}" for j in self.judges}


def content(path: str) -> str:
    """SHA-256 of an adapter's file, read once a process; `missing` where it is not."""
    if not path:
        return ""
    try:
        facts = Path(path).stat()
    except OSError:
        return "missing"
    return _digest(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=16)
def _digest(path: str, _size: int, _mtime_ns: int) -> str:
    return sha256_file(Path(path))
