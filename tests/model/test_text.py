"""The embedded text encoder."""

import pytest
import torch

from model.text import MAX_TOKENS, TextEncoder, load_text_encoder, pad_text


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return load_text_encoder("minilm")


def test_similar_captions_are_near(encoder):
    """Catches wrong weights or a wrong layer."""
    texts = ["a red ball bounces", "a crimson ball is bouncing", "the stock market fell today"]
    a, b, c = (torch.nn.functional.normalize(x.mean(0), dim=0) for x in encoder.encode(texts))
    assert a @ b > 0.6
    assert a @ c < 0.3


def test_a_caption_has_the_same_bits_in_any_company(encoder):
    """Catches features that depend on the batch: shards would not repeat."""
    alone = encoder.encode(["a ball"])[0]
    beside = encoder.encode(["a much longer caption about something else entirely", "a ball"])[1]
    assert torch.equal(alone, beside)
    assert alone.shape == (4, encoder.dim)
    assert alone.dtype == torch.float32


@pytest.mark.parametrize(
    "text",
    [
        "[CLS] [SEP] [MASK] [PAD] [UNK]",
        "red[SEP]ball",
        "[MASK]" * 400,
        "<s></s><|im_start|>",
        "\x00",
    ],
)
def test_text_is_data(encoder, text):
    """Catches control tokens smuggled in through a caption (S15)."""
    ids = encoder.tokens(text)
    special = {encoder.tokenizer.cls_token_id, encoder.tokenizer.sep_token_id}
    special |= {encoder.tokenizer.mask_token_id, encoder.tokenizer.pad_token_id}
    assert ids[0] == encoder.tokenizer.cls_token_id
    assert ids[-1] == encoder.tokenizer.sep_token_id
    assert not special & set(ids[1:-1])


def test_long_text_is_cut(encoder):
    """Catches a caption of 100 kB that crashes or swamps the encoder."""
    assert len(encoder.encode(["word " * 20_000])[0]) == MAX_TOKENS


def test_empty_text_is_two_frame_tokens(encoder):
    """Catches a crash on an empty caption."""
    assert encoder.encode([""])[0].shape == (2, 384)


def test_fingerprint_is_stable(encoder):
    """Catches a fingerprint that depends on the process or the folder."""
    assert load_text_encoder().fingerprint == encoder.fingerprint
    assert len(encoder.fingerprint) == 12


def test_unknown_encoder_is_refused():
    """Catches a typo that silently loads something else."""
    with pytest.raises(ValueError, match="minilm"):
        load_text_encoder("bert")


def test_padding_marks_real_tokens():
    """Catches a mask that is off by one."""
    text, mask = pad_text([torch.ones(2, 3), torch.ones(4, 3), torch.ones(0, 3)])
    assert text.shape == (3, 4, 3)
    assert mask.sum(1).tolist() == [2, 4, 0]
    assert torch.equal(text.sum(-1) > 0, mask)
