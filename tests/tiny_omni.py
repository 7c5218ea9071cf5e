"""A Qwen2.5-Omni of 200,000 random weights with ears, saved as real ones are."""

import json
from pathlib import Path

import torch
from transformers import (
    Qwen2_5OmniConfig,
    Qwen2_5OmniForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    WhisperFeatureExtractor,
)

from tests.tiny_vlm import SPECIAL, TEMPLATE, byte_tokenizer

NAMES = {
    "image_token": "<|IMAGE|>", "audio_token": "<|AUDIO|>", "video_token": "<|VIDEO|>",
    "vision_bos_token": "<|vision_bos|>", "vision_eos_token": "<|vision_eos|>",
    "audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>",
}  # fmt: skip
HIDDEN = 64


def omni_tokenizer():
    tokenizer = byte_tokenizer()
    known = {"additional_special_tokens": [*SPECIAL[1:-1], *NAMES.values()]}
    tokenizer.add_special_tokens(known)
    see = "<|vision_start|><|image_pad|><|vision_end|>"
    hear = "{% elif p['type'] == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>"
    text = "{% elif p['type'] == 'text' %}"
    template = TEMPLATE.replace(see, "<|vision_bos|><|IMAGE|><|vision_eos|>")
    tokenizer.chat_template = template.replace(text, hear + text)
    for name, token in NAMES.items():
        tokenizer.init_kwargs[name] = token
        setattr(tokenizer, name, token)
    return tokenizer


def save_tiny_omni(folder: Path) -> tuple[Path, dict]:
    """Model, tokenizer and processors in `folder`; and the thinker's weights as they were saved."""
    tokenizer = omni_tokenizer()
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in NAMES.items()}
    thinker = {
        "audio_config": {
            "d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64, "num_mel_bins": 128, "output_dim": HIDDEN, "n_window": 50,
        },
        "vision_config": {
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2,
            "out_hidden_size": HIDDEN, "patch_size": 14, "spatial_merge_size": 2,
            "temporal_patch_size": 2, "window_size": 56, "fullatt_block_indexes": [1],
        },
        "text_config": {
            "vocab_size": len(tokenizer), "hidden_size": HIDDEN, "intermediate_size": 2 * HIDDEN,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "rope_scaling": {"rope_type": "default", "mrope_section": [2, 3, 3]},
            "max_position_embeddings": 16_384,
        },
        "audio_token_index": ids["audio_token"], "image_token_index": ids["image_token"],
        "video_token_index": ids["video_token"],
        "audio_start_token_id": ids["audio_bos_token"],
        "audio_end_token_id": ids["audio_eos_token"],
        "vision_start_token_id": ids["vision_bos_token"],
        "vision_end_token_id": ids["vision_eos_token"],
        "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    torch.manual_seed(0)
    config = Qwen2_5OmniConfig(thinker_config=thinker, enable_audio_output=False)
    model = Qwen2_5OmniForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    hears = WhisperFeatureExtractor(feature_size=128).to_dict()
    sees = Qwen2VLImageProcessorPil(
        patch_size=14, merge_size=2, temporal_patch_size=2, min_pixels=28 * 28, max_pixels=112 * 112
    ).to_dict()
    card = {k: v for k, v in (hears | sees).items() if k != "mel_filters"}
    (folder / "preprocessor_config.json").write_text(json.dumps(card))
    return folder, model.thinker.state_dict()
