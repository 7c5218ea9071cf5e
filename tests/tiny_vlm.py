"""A Qwen2.5-VL of 200,000 random weights with a byte tokenizer, saved as real ones are."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

SPECIAL = ("<|im_end|>", "<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
           "<|video_pad|>", "<|endoftext|>")  # fmt: skip
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer():
    """Bytes and Qwen's control tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bare = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bare,
        eos_token=SPECIAL[0],
        pad_token=SPECIAL[-1],
        additional_special_tokens=list(SPECIAL[1:-1]),
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def text_of(tokenizer, hidden):
    """The text half of both."""
    end, *_, pad = tokenizer.convert_tokens_to_ids(list(SPECIAL))
    return {
        "vocab_size": len(tokenizer), "hidden_size": hidden, "intermediate_size": 2 * hidden,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "rope_scaling": {"rope_type": "default", "mrope_section": [2, 3, 3]},
        "max_position_embeddings": 16_384, "bos_token_id": None, "eos_token_id": end,
        "pad_token_id": pad,
    }  # fmt: skip


def eyes_of(hidden):
    """What their eyes have in common."""
    return {
        "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2,
        "out_hidden_size": hidden, "patch_size": 14, "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }  # fmt: skip


def make_tiny_vlm(tokenizer, hidden=64):
    _, _, start_see, end_see, image, video, _ = tokenizer.convert_tokens_to_ids(list(SPECIAL))
    torch.manual_seed(0)
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config=text_of(tokenizer, hidden),
            vision_config=eyes_of(hidden) | {"window_size": 56, "fullatt_block_indexes": [1]},
            image_token_id=image, video_token_id=video,
            vision_start_token_id=start_see, vision_end_token_id=end_see,
        )
    )  # fmt: skip


def make_tiny_qwen3(tokenizer, hidden=64):
    """A Qwen3-VL: its pictures enter at several layers."""
    _, _, start_see, end_see, image, video, _ = tokenizer.convert_tokens_to_ids(list(SPECIAL))
    torch.manual_seed(0)
    return Qwen3VLForConditionalGeneration(
        Qwen3VLConfig(
            text_config=text_of(tokenizer, hidden) | {"head_dim": 16},
            vision_config=eyes_of(hidden) | {"deepstack_visual_indexes": [0]},
            image_token_id=image, video_token_id=video,
            vision_start_token_id=start_see, vision_end_token_id=end_see,
        )
    )  # fmt: skip


def save_tiny_vlm(folder: Path, make=make_tiny_vlm) -> Path:
    """Model, tokenizer and image processor in `folder`."""
    tokenizer = byte_tokenizer()
    make(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil(
        patch_size=14, merge_size=2, temporal_patch_size=2, min_pixels=28 * 28, max_pixels=112 * 112
    ).save_pretrained(folder)
    return folder
