"""Tiny models with random weights for WhisperX, in its formats: run by its own interpreter.

    python whisperx_models.py FOLDER

Writes FOLDER/whisper (CTranslate2), FOLDER/wav2vec2 (transformers) and FOLDER/nltk (empty punkt
files: nothing learnt about abbreviations).
"""

import itertools
import json
import string
import sys
from pathlib import Path

import ctranslate2
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Processor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

PLAIN = 50_257  # tokens before the special ones, as in Whisper's own vocabulary


def whisper(folder: Path) -> None:
    """A Whisper of one layer whose every plain token is a word of letters."""
    letters = itertools.product(string.ascii_lowercase, repeat=4)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = alphabet + ["Ġ" + "".join(word) for word in itertools.islice(letters, PLAIN - 256)]
    special = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{x}|>" for x in LANGUAGES)][:101]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"]
    special += ["<|nospeech|>", "<|notimestamps|>", *(f"<|{i * 0.02:.2f}|>" for i in range(1501))]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(plain)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    size = tokenizer.get_vocab_size()
    source = folder.parent / "whisper-source"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|endoftext|>", unk_token="<|endoftext|>"
    ).save_pretrained(source)
    WhisperFeatureExtractor().save_pretrained(source)
    config = WhisperConfig(
        vocab_size=size,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        bos_token_id=PLAIN,
        eos_token_id=PLAIN,
        pad_token_id=PLAIN,
        decoder_start_token_id=PLAIN + 1,
        suppress_tokens=[],
        begin_suppress_tokens=[],
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config.alignment_heads = [[0, 0]]
    model.save_pretrained(source)
    converter = ctranslate2.converters.TransformersConverter(
        str(source), copy_files=["tokenizer.json", "preprocessor_config.json"]
    )
    converter.convert(str(folder))


def wav2vec2(folder: Path) -> None:
    """A wav2vec2 of one layer over letters."""
    folder.mkdir()
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", "'", *string.ascii_uppercase]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=False)
    Wav2Vec2Processor(extractor, tokenizer).save_pretrained(folder)
    config = Wav2Vec2Config(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(32,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    Wav2Vec2ForCTC(config).save_pretrained(folder)


def punkt(folder: Path) -> None:
    """The four files that NLTK's sentence splitter opens."""
    place = folder / "tokenizers" / "punkt_tab" / "english"
    place.mkdir(parents=True)
    for name in ("abbrev_types.txt", "collocations.tab", "sent_starters.txt", "ortho_context.tab"):
        (place / name).touch()


if __name__ == "__main__":
    torch.manual_seed(0)
    root = Path(sys.argv[1])
    root.mkdir(parents=True, exist_ok=True)
    whisper(root / "whisper")
    wav2vec2(root / "wav2vec2")
    punkt(root / "nltk")
