"""Tiny multimodal models of random weights, from a folder, by the code that loads large ones."""

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import HunyuanVideo15Pipeline
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from curation.captions.local import load_processor
from model.text_mllm import STILLS, MultimodalEncoder, Shown
from model.text_mllm_folder import Reading
from pipelines.encode_config import INSTRUCTION
from tests.tiny_omni import save_tiny_omni
from tests.tiny_vlm import SPECIAL, make_tiny_qwen3, save_tiny_vlm

PLAIN = Reading(layer=-2, instruction="Describe the clip.", max_tokens=64, dtype="float32")
MAKE = {
    "qwen2.5-vl": save_tiny_vlm,
    "qwen3-vl": lambda folder: save_tiny_vlm(folder, make_tiny_qwen3),
    "qwen2.5-omni": lambda folder: save_tiny_omni(folder)[0],
}
# Kinds of bytes do not merge in the tests' tokenizer: a character is a token.
SUFFIX = len("\n") + len("assistant\n") + 2  # and <|im_end|>, <|im_start|>


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: make(tmp_path_factory.mktemp(kind)) for kind, make in MAKE.items()}


@pytest.fixture(scope="module")
def encoders(folders):
    return {
        k: MultimodalEncoder(str(f), PLAIN, processor=load_processor) for k, f in folders.items()
    }


@pytest.fixture
def copy(folders, tmp_path):
    return shutil.copytree(folders["qwen2.5-vl"], tmp_path / "copy")


def reading(**changes):
    return Reading(**vars(PLAIN) | changes)


def noise(seed, frames=1):
    return np.random.default_rng(seed).integers(0, 255, (frames, 56, 84, 3)).astype(np.uint8)


@pytest.mark.parametrize("kind", MAKE)
def test_a_caption_has_the_same_bits_in_any_company(encoders, kind):
    """Catches features that depend on padding or order: shards would not repeat."""
    encoder = encoders[kind]
    texts = ["a red ball", "a much longer caption of something else", "x", "a red ball"]
    forth, back = encoder.encode(texts), encoder.encode(texts[::-1])[::-1]
    for text, a, b in zip(texts, forth, back, strict=True):
        assert torch.equal(a, encoder.encode([text])[0])
        assert torch.equal(a, b)
        assert a.shape == (len(text) + SUFFIX, encoder.dim)
        assert a.dtype == torch.float32
        assert torch.isfinite(a).all()


def test_layer_and_template_do_what_they_say(folders, encoders):
    """Catches a layer that is off by one, and a prefix that is not dropped or changes nothing."""
    folder = str(folders["qwen2.5-vl"])
    (mine,) = encoders["qwen2.5-vl"].encode(["a red ball"])
    whole = [MultimodalEncoder(folder, reading(layer=n)).encode(["a red ball"])[0] for n in (0, 1)]
    assert torch.equal(whole[1], mine), "-2 of two layers is the first one's state"
    table = load_file(folders["qwen2.5-vl"] / "model.safetensors")
    words = next(v for k, v in table.items() if k.endswith("embed_tokens.weight"))
    tokenizer = encoders["qwen2.5-vl"].tokenizer
    ids = tokenizer("a red ball", add_special_tokens=False)["input_ids"]
    assert torch.equal(whole[0][: len(ids)], words[ids]), "layer 0 is the embeddings of the caption"
    other = MultimodalEncoder(folder, reading(instruction="Something else.")).encode(["a red ball"])
    bare = MultimodalEncoder(folder, reading(instruction="")).encode(["a red ball"])[0]
    assert other[0].shape == bare.shape == mine.shape
    assert not torch.allclose(other[0], mine), "words see the instruction before them"
    assert not torch.allclose(bare, mine)


def test_it_is_what_hunyuanvideo_reads(folders):
    """Catches a crop, layer or template of ours that differs from the donor's (diffusers)."""
    folder = folders["qwen2.5-vl"]
    settings = reading(instruction=INSTRUCTION, layer=-3)
    encoder = MultimodalEncoder(str(folder), settings)
    theirs = encoder.tokenizer  # its template speaks of parts; theirs gives plain words
    theirs.chat_template = theirs.chat_template.replace(
        "{% for p in m['content'] %}", "{% if m['content'] is string %}{{ m['content'] }}"
        "{% else %}{% for p in m['content'] %}",
    ).replace("{% endfor %}<|im_end|>", "{% endfor %}{% endif %}<|im_end|>")  # fmt: skip
    text = "a red ball falls"
    crop = len(encoder._before)
    made, mask = HunyuanVideo15Pipeline._get_mllm_prompt_embeds(
        encoder.model, theirs, text, torch.device("cpu"), tokenizer_max_length=60, crop_start=crop
    )
    told = made[0][mask[0].bool()]
    (ours,) = encoder.encode([text])
    assert told.shape == ours.shape
    assert (told - ours).abs().max() < 1e-5


@pytest.mark.parametrize("kind", MAKE)
def test_a_picture_changes_the_features(encoders, kind):
    """Catches pictures that are dropped on the way, or that lose the caption."""
    encoder = encoders[kind]
    (blind,) = encoder.encode(["a red ball"])
    one, two = (
        encoder.encode(["a red ball"], (Shown("image_1", noise(seed)),))[0] for seed in (0, 1)
    )
    more = len("@image_1: ") + 2 + 6  # begin, 4 x 6 patches in fours, end
    assert len(one) == len(blind) + more
    assert not torch.allclose(one[-len(blind) :], two[-len(blind) :])
    assert torch.equal(one, encoder.encode(["a red ball"], (Shown("image_1", noise(0)),))[0])
    clip = encoder.encode(["a red ball"], (Shown("video_1", noise(0, frames=20)),))[0]
    assert len(clip) == len(blind) + len("@video_1: ") + 8 * STILLS


def test_ears(encoders):
    """Catches sound that is dropped, and a deaf model that is told to listen."""
    tone = np.sin(np.arange(16_000) / 5).astype(np.float32)
    shown = (Shown("image_1", noise(0)), Shown("Audio-0", sound=tone))
    omni = encoders["qwen2.5-omni"]
    assert (omni.sees, omni.hears) == (True, True)
    loud = omni.encode(["a ball"], shown)[0]
    quiet = omni.encode(["a ball"], (shown[0], Shown("Audio-0", sound=0 * tone)))[0]
    assert loud.shape == quiet.shape
    assert not torch.allclose(loud, quiet)
    assert not encoders["qwen2.5-vl"].hears
    with pytest.raises(ValueError, match="hears nothing"):
        encoders["qwen2.5-vl"].encode(["a ball"], shown)


def test_text_is_data(encoders):
    """Catches control tokens smuggled in through a caption: one would end our turn (S15)."""
    encoder = encoders["qwen2.5-vl"]
    hostile = " ".join(SPECIAL)
    special = set(encoder.tokenizer.all_special_ids)
    assert not special & set(encoder._ids(hostile, data=True))
    assert special & set(encoder._ids(hostile)), "or this test would prove nothing"
    assert len(encoder.encode([hostile * 20])[0]) == PLAIN.max_tokens
    assert len(encoder.encode([""])[0]) == SUFFIX


def test_the_fingerprint_is_of_weights_words_and_reading(folders, encoders, copy):
    """Catches features of another layer, template, tokenizer or weight passing for the same."""

    def name(**changes):
        return MultimodalEncoder(str(copy), reading(**changes)).fingerprint

    before = encoders["qwen2.5-vl"].fingerprint
    assert name() == before
    assert len({before, name(layer=-1), name(instruction="x"), name(max_tokens=65)}) == 4
    (copy / "chat_template.jinja").write_text((copy / "chat_template.jinja").read_text() + " ")
    assert name() != before
    tensors = load_file(copy / "model.safetensors")
    next(iter(tensors.values())).view(-1)[0] += 1e-3
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    shutil.copy(folders["qwen2.5-vl"] / "chat_template.jinja", copy)
    assert name() != before


def test_what_is_no_such_model_is_refused(folders, copy, tmp_path):
    """Catches a wrong folder that fails deep in a library, and pickles that are opened."""

    def refused(match, folder=copy, **changes):
        with pytest.raises(ValueError, match=match):
            MultimodalEncoder(str(folder), reading(**changes))

    refused(r"encode\.text_encoder: there is no model at .*'minilm'", tmp_path / "nothing")
    refused(r"layer is 3; .* has 2 layers: give 0 .* to -3", layer=3)
    refused(r"max_tokens is 9; .*template ends with", max_tokens=9)
    config = json.loads((copy / "config.json").read_text())
    for change, match in (
        ({"model_type": "bert"}, r"class 'bert', no multimodal"),
        ({"model_type": "no-such"}, "no-such"),
    ):
        (copy / "config.json").write_text(json.dumps(config | change))
        refused(match)
    del config["model_type"]
    (copy / "config.json").write_text(json.dumps(config))
    refused("no model of transformers")
    shutil.copy(folders["qwen2.5-vl"] / "config.json", copy)
    tensors = load_file(copy / "model.safetensors")
    save_file(dict(list(tensors.items())[1:]), copy / "model.safetensors", {"format": "pt"})
    refused("do not fit its config.json: missing keys")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    refused(r"pickled weights .*from transformers import Qwen2_5_VLForConditionalGeneration")


def test_the_folder_of_a_pipeline_and_a_hub_id_will_do(folders, encoders, tmp_path, monkeypatch):
    """Catches a donor's folder, whose tokenizer lies apart, and a revision that is dropped."""
    home = tmp_path / "models--someone--video"
    root = home / "snapshots" / ("a" * 40)
    whole = encoders["qwen2.5-vl"]
    whole.model.model.language_model.save_pretrained(root / "text_encoder")  # as 1.5's pipeline
    (root / "tokenizer").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(folders["qwen2.5-vl"] / name, root / "tokenizer")
    (home / "refs").mkdir()
    (home / "refs" / "v2").write_text("a" * 40)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    found = [MultimodalEncoder(name, PLAIN) for name in (str(root), "someone/video@v2")]
    assert found[0].fingerprint == found[1].fingerprint
    assert torch.equal(found[1].encode(["a ball"])[0], whole.encode(["a ball"])[0])
    with pytest.raises(ValueError, match="sees nothing"):
        found[0].encode(["a ball"], (Shown("image_1", noise(0)),))
    with pytest.raises(ValueError, match="hf download someone/other"):
        MultimodalEncoder("someone/other", PLAIN)
