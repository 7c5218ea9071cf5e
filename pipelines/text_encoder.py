"""The text encoder of a recipe, a shard set or a checkpoint."""

from typing import Any

import torch

from curation.captions.local import load_processor
from model.text import TextCodec, load_text_encoder
from model.text_mllm import MultimodalEncoder
from model.text_mllm_folder import Reading
from pipelines.encode_config import EMBEDDED, MLLMConfig


def open_text_encoder(
    name: str, reading: MLLMConfig, device: torch.device | str = "cpu"
) -> TextCodec:
    """The embedded encoder, or a multimodal model from a folder or hub id.

    `device` is where it runs unless `reading` says otherwise. Raises ValueError.
    """
    if name == EMBEDDED:
        return load_text_encoder(name)
    where = device if reading.device == "auto" else reading.device
    if torch.device(where).type == "cuda" and not torch.cuda.is_available():
        raise ValueError("encode.text_mllm.device is cuda and there is no GPU here; use cpu")
    return MultimodalEncoder(
        name, Reading(**reading.model_dump(exclude={"device"})), where, load_processor
    )


def encoder_of(card: dict[str, Any], made: str, device: torch.device | str = "cpu") -> TextCodec:
    """The encoder that a contract's or card's section `text` names.

    Raises ValueError when what is here under its name is another one; `made` is what it made.
    """
    name = card["encoder"]
    encoder = open_text_encoder(name, MLLMConfig(**card.get("reading", {})), device)
    if encoder.fingerprint != card["fingerprint"]:
        raise ValueError(
            f"the text encoder {name!r} here is {encoder.fingerprint}, not the one of {made}, "
            f"{card['fingerprint']}; put its weights and tokenizer back, or encode and train again"
        )
    return encoder
