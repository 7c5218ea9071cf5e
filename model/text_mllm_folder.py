"""A multimodal language model of transformers as a text encoder: found, loaded and named."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model.vae_folder import Saved, fetch, fingerprint_of, is_hub_id, read_saved

PART, TOKENIZER = "text_encoder", "tokenizer"  # their folders in a pipeline that diffusers saved
# What names the reading of words and media, beside configuration and weights.
READERS = (
    "tokenizer*", "vocab*", "merges*", "special_tokens*", "added_tokens*", "chat_template*",
    "*preprocessor_config.json", "processor_config.json",
)  # fmt: skip
GIVE = "'minilm', a folder that transformers saved (Qwen2.5-VL, Qwen3-VL, Qwen2.5-Omni), "


@dataclass(frozen=True)
class Reading:
    """How a caption is read; part of the encoder's fingerprint."""

    layer: int
    instruction: str
    max_tokens: int
    dtype: str


def find_model(name: str) -> Saved:
    """The language model of a folder or hub id, or of the pipeline there. Raises ValueError."""
    wanted = {
        PART: [f"{PART}/config.json", f"{PART}/*.safetensors*", f"{TOKENIZER}/*"],
        "": ["config.json", "model*.safetensors*", *READERS],
    }
    root = fetch(name, PART, wanted) if is_hub_id(name) else Path(name)
    for folder in (root / PART, root):
        if (folder / "config.json").is_file():
            saved = read_saved(folder)
            if "model_type" not in saved.config:
                raise ValueError(
                    f"encode.text_encoder: {folder} is no model of transformers; give {GIVE}or a "
                    "hub id"
                )
            return saved
    raise ValueError(
        f"encode.text_encoder: there is no model at {root}: neither {PART}/config.json nor "
        f"config.json; give {GIVE}or a hub id"
    )


def has_words(folder: Path) -> bool:
    """Whether a folder holds a tokenizer."""
    return any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json"))


def load_tokenizer(folder: Path) -> Any:  # noqa: ANN401
    """The tokenizer with its chat template. Raises ValueError."""
    from transformers import AutoTokenizer  # noqa: PLC0415

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"encode.text_encoder: no tokenizer in {folder}: {error}") from error
    if not tokenizer.chat_template:
        raise ValueError(
            f"encode.text_encoder: the tokenizer in {folder} has no chat template; give the "
            "model's instruct variant"
        )
    return tokenizer


def load_model(saved: Saved, dtype: torch.dtype, device: torch.device) -> tuple[Any, Any]:
    """The frozen model without its head, and its configuration. Of an Omni model the thinker.

    Raises ValueError for another class and for weights that do not fit.
    """
    # transformers takes seconds to import, so only who encodes pays for it
    import transformers  # noqa: PLC0415

    # transformers 5 calls it MultimodalLM and counts models with ears in; 4 has no such name
    auto = getattr(transformers, "AutoModelForMultimodalLM", None)
    auto = auto or transformers.AutoModelForImageTextToText
    try:
        card = transformers.AutoConfig.from_pretrained(saved.folder, local_files_only=True)
        card = getattr(card, "thinker_config", card)
        if card.model_type.endswith("_text"):  # what HunyuanVideo 1.5 saves: no eyes, no head
            auto = transformers.AutoModel
        if type(card) not in auto._model_mapping:  # or it lists 100 classes
            raise ValueError(
                f"it is of class {card.model_type!r}, no multimodal language model; give {GIVE}or "
                "a hub id"
            )
        model, report = auto.from_pretrained(
            saved.folder,
            config=card,
            local_files_only=True,
            use_safetensors=True,
            dtype=dtype,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise ValueError(f"encode.text_encoder: {saved.folder}: {error}") from error
    # Other parts of an Omni model (its talker) are left behind: more keys are no fault.
    for what in ("missing_keys", "mismatched_keys"):
        if names := report.get(what):
            raise ValueError(
                f"encode.text_encoder: the weights in {saved.folder} do not fit its config.json: "
                f"{what.replace('_', ' ')} {sorted(map(str, names))[:3]}"
            )
    if model.get_output_embeddings() is not None:
        model.set_output_embeddings(nn.Identity())  # no word is predicted: 1 GB less at 7B
    return model.to(device).eval().requires_grad_(requires_grad=False), card


def named(saved: Saved, words: Path, reading: Reading) -> str:
    """12 hex characters of weights, configuration, tokenizer, processors and reading."""
    digest = hashlib.blake2b(digest_size=6)
    digest.update(fingerprint_of(saved).encode())
    digest.update(json.dumps(asdict(reading), sort_keys=True).encode())
    for path in sorted({p for pattern in READERS for p in words.glob(pattern) if p.is_file()}):
        with path.open("rb") as handle:
            digest.update(
                f"{path.name}:{hashlib.file_digest(handle, 'sha256').hexdigest()};".encode()
            )
    return digest.hexdigest()
