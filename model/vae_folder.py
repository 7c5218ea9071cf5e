"""Autoencoders that diffusers saves: their folder, here or on the hub, and their content's name.

A folder holds `config.json` and safetensors; pickled weights can run code when they are read and
are refused. A hub id is `owner/name` or `owner/name@revision`; of its files only those of the
autoencoder are fetched.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model*.safetensors*"  # one file, or several and their index
PICKLED = (".bin", ".pt", ".pth", ".ckpt")
EMBEDDED = "'embedded', a folder made by `reelmill vae`, "  # what else may be given for one
# of a config: who wrote it, from where
NOT_CONTENT = ("_diffusers_version", "transformers_version", "_name_or_path")


@dataclass(frozen=True)
class Saved:
    """One network on disk."""

    folder: Path
    config: dict[str, Any]

    @property
    def kind(self) -> str:
        """Its class in diffusers."""
        return str(self.config.get("_class_name", ""))

    @property
    def files(self) -> list[Path]:
        """Its weights."""
        return sorted(self.folder.glob("*.safetensors"))


def is_hub_id(name: str) -> bool:
    """Whether a name that is no folder could be one of the hub."""
    return HUB_ID.fullmatch(name) is not None and not Path(name).exists()


def find_saved(name: str, part: str, what: str = "autoencoder", also: str = EMBEDDED) -> Saved:
    """The network `part` (vae, audio_vae, vocoder, transformer) of a folder or hub id.

    The folder of a whole pipeline has it in a folder of that name; that folder itself will do too.
    Raises ValueError saying `what` is missing, and what may be given (`also` and a folder or id).
    """
    root = fetch(name, part) if is_hub_id(name) else Path(name)
    for folder in (root / part, root):
        if (folder / CONFIG).is_file():
            return read_saved(folder)
    raise ValueError(
        f"there is no {what} at {root}: neither {part}/{CONFIG} nor {CONFIG}; give {also}a folder "
        "that diffusers saved, or a hub id"
    )


def read_saved(folder: Path) -> Saved:
    """The network in a folder with a config. Raises ValueError for pickled or missing weights."""
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder / CONFIG} is no configuration: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{folder / CONFIG} is no configuration")  # noqa: TRY004 - bad input
    saved = Saved(folder, config)
    if not saved.files:
        pickled = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLED)
        if pickled:
            library = "transformers" if "model_type" in config else "diffusers"
            cls = saved.kind or next(iter(config.get("architectures") or ()), "THE_CLASS")
            raise ValueError(
                f"{folder} holds pickled weights ({pickled[0]}), which can run code when they are "
                f'read; where you trust them, convert them: python -c "from {library} import '
                f"{cls} as V; V.from_pretrained('{folder}', use_safetensors=False)"
                ".save_pretrained('NEW_FOLDER')\""
            )
        raise ValueError(f"there are no weights (*.safetensors) in {folder}")
    return saved


def fetch(name: str, part: str, wanted: dict[str, list[str]] | None = None) -> Path:
    """The snapshot of a hub id, with at least `part` if the hub has it.

    `wanted` are patterns of files by the folder whose config decides that they are enough. Raises
    ValueError.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - seconds, and only here

    repo, _, revision = name.partition("@")
    wanted = wanted or {part: [f"{part}/{CONFIG}", f"{part}/{WEIGHTS}"], "": [CONFIG, WEIGHTS]}
    try:
        for place, patterns in wanted.items():
            # In two steps: at the root of a pipeline lie files of many gigabytes.
            root = Path(snapshot_download(repo, revision=revision or None, allow_patterns=patterns))
            if (root / place / CONFIG).is_file():
                break
    except (OSError, ValueError) as error:  # the hub's errors derive from these
        raise ValueError(
            f"{name} is no folder here, and as a hub id it cannot be had "
            f"({type(error).__name__}: {str(error).splitlines()[0]}); check the name, or on a "
            f"machine with the hub run `hf download {repo}"
            f"{f' --revision {revision}' if revision else ''} --include '{part}/*' "
            "--local-dir FOLDER` and give FOLDER"
        ) from error
    return root


def fingerprint_of(*networks: Saved) -> str:
    """12 hex characters that name configurations and weights as stored, however files split them.

    Raises ValueError for a file that is not safetensors.
    """
    digest = hashlib.blake2b(digest_size=6)
    for saved in networks:
        config = {k: v for k, v in saved.config.items() if k not in NOT_CONTENT}
        digest.update(json.dumps(config, sort_keys=True).encode())
        places: dict[str, Path] = {}
        for path in saved.files:
            try:
                with safe_open(path, framework="pt") as handle:
                    places |= dict.fromkeys(handle.keys(), path)
            except SafetensorError as error:
                raise ValueError(f"{path} is damaged or not safetensors: {error}") from error
        opened = {path: safe_open(path, framework="pt") for path in set(places.values())}
        for name, path in sorted(places.items()):
            value = opened[path].get_tensor(name)
            digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
            digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load(saved: Saved, classes: dict[str, str], dtype: torch.dtype) -> Any:  # noqa: ANN401
    """The network of `saved`, frozen, if its class is one of `classes` (class -> module).

    Raises ValueError for another class, for weights that do not fit the configuration (diffusers
    itself would make up what is missing), and where diffusers is not installed.
    """
    if saved.kind not in classes:
        raise ValueError(
            f"{saved.folder / CONFIG} is of class {saved.kind or 'unknown'!r}; "
            f"this takes {', '.join(sorted(classes))}"
        )
    try:
        from importlib import import_module  # noqa: PLC0415

        cls = getattr(import_module(classes[saved.kind]), saved.kind)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"{saved.folder} needs diffusers >= 0.39: pip install 'reelmill[diffusers]' ({error})"
        ) from error
    try:
        network, report = cls.from_pretrained(
            saved.folder,
            torch_dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{saved.folder} cannot be loaded: {error}") from error
    wrong = {
        what: names
        for what in ("missing_keys", "unexpected_keys", "mismatched_keys")
        if (names := report.get(what))
    }
    if wrong:
        told = "; ".join(f"{w.replace('_', ' ')} {list(n)[:3]}" for w, n in wrong.items())
        raise ValueError(f"the weights in {saved.folder} do not fit its {CONFIG}: {told}")
    return network.eval().requires_grad_(requires_grad=False)
