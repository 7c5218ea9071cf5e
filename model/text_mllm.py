"""A frozen multimodal language model as text encoder: hidden states of one layer.

As HunyuanVideo takes them (arXiv 2412.03603 §4.1.3; diffusers' `HunyuanVideo15Pipeline`): a chat
template goes around the caption, its prefix is dropped from the features, and the third state from
the end is read, for the last ones serve the next word. SkyReels-V4 says that a frozen multimodal
model reads text and references, and neither which nor how: model, layer and template are ours.

Letters: N real tokens after the prefix, D channels, F frames, S samples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.text_mllm_folder import (
    TOKENIZER,
    Reading,
    find_model,
    has_words,
    load_model,
    load_tokenizer,
    named,
)

HERE = "reelmill puts the caption here"  # where a chat template is cut in two
STILLS = 8  # of a clip: a Qwen2.5-VL makes about 330 tokens of each at 448 x 448
SOUND_RATE = 16_000  # what the audio encoders of Omni models listen at


@dataclass(frozen=True)
class Shown:
    """A picture, clip or sound beside the caption, under the name that the caption calls it by."""

    name: str
    frames: NDArray[np.uint8] | None = None  # [F,H,W,3]
    sound: NDArray[np.float32] | None = None  # [S] at SOUND_RATE


class MultimodalEncoder:
    """Hidden states [N,D] of a model's layer, for text and what is shown beside it."""

    def __init__(
        self,
        name: str,
        reading: Reading,
        device: torch.device | str = "cpu",
        processor: Callable[[str], Any] | None = None,
    ) -> None:
        """`name` is a folder or hub id; `processor` opens its processor, for pictures and sound.

        Raises ValueError for what is no such model, pickles, and a layer that it has not.
        """
        saved = find_model(name)
        words = saved.folder if has_words(saved.folder) else saved.folder.parent / TOKENIZER
        self._folder, self._open, self.reading = words, processor, reading
        self.device = torch.device(device)
        self.model, config = load_model(saved, getattr(torch, reading.dtype), self.device)
        self.sees, self.hears = (hasattr(config, f"{k}_config") for k in ("vision", "audio"))
        text = config.get_text_config()
        self.dim: int = text.hidden_size
        depth = text.num_hidden_layers
        if not -depth - 1 <= reading.layer <= depth:
            raise ValueError(
                f"encode.text_mllm.layer is {reading.layer}; {name} has {depth} layers: give 0 "
                f"(embeddings) to {depth}, or -1 (the last) to {-depth - 1}"
            )
        self.tokenizer = load_tokenizer(words)
        before, after = self._template(())
        self._before, self._after = self._ids(before), self._ids(after)
        if reading.max_tokens <= len(self._after):
            raise ValueError(
                f"encode.text_mllm.max_tokens is {reading.max_tokens}; the chat template ends with "
                f"{len(self._after)} tokens of its own, give more"
            )
        self.fingerprint = named(saved, words, reading)

    @torch.inference_mode()
    def encode(self, texts: list[str], shown: tuple[Shown, ...] = ()) -> list[Tensor]:
        """Features [N,D] float32 of each text, all with what is shown before it.

        One text at a time: padding to a batch would make a caption's bits depend on its company.
        Raises ValueError for sound or pictures that the model has no sense for.
        """
        media = self._media(shown) if shown else {}
        known = {text: self._features(text, media) for text in dict.fromkeys(texts)}
        return [known[text].clone() for text in texts]

    def _features(self, text: str, media: dict[str, Tensor]) -> Tensor:
        """One instruction through the model; of its tokens those after the prefix."""
        words = self._ids(" ".join(text.split()), data=True)
        words = words[: self.reading.max_tokens - len(self._after)]
        seen = media["input_ids"][0].tolist() if media else []
        ids = torch.tensor([[*self._before, *seen, *words, *self._after]])
        inputs: dict[str, Tensor] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        for key, value in media.items():
            if key in inputs:
                continue
            if value.shape == (1, len(seen)):  # a mark of each token: what kind of medium it is
                whole = torch.zeros_like(ids)
                whole[:, len(self._before) : len(self._before) + len(seen)] = value
                value = whole  # noqa: PLW2901
            inputs[key] = value
        inputs = {
            key: value.to(self.device, self.model.dtype if value.is_floating_point() else None)
            for key, value in inputs.items()
        }
        made = self.model(**inputs, output_hidden_states=True, use_cache=False)
        state: Tensor = made.hidden_states[self.reading.layer][0, len(self._before) :]
        return state.float().cpu()

    def _media(self, shown: tuple[Shown, ...]) -> dict[str, Tensor]:
        """What the model takes of pictures and sound: their tokens, pixels and spectrogram."""
        from PIL import Image  # noqa: PLC0415 - only who shows pictures needs it

        if any(s.frames is not None for s in shown) and not self.sees:
            raise ValueError(f"the text encoder in {self._folder} sees nothing; it takes text")
        if any(s.sound is not None for s in shown) and not self.hears:
            raise ValueError(f"the text encoder in {self._folder} hears nothing; take an Omni one")
        before, _ = self._template(shown)
        plain, _ = self._template(())
        images = [Image.fromarray(frame) for s in shown for frame in stills(s.frames)]
        sounds = [s.sound for s in shown if s.sound is not None]
        media = ({"images": images} if images else {}) | ({"audio": sounds} if sounds else {})
        made = self._processor(
            text=[before.removeprefix(plain)],
            return_tensors="pt",
            add_special_tokens=False,
            **media,
        )
        return {key: torch.as_tensor(value) for key, value in made.items()}

    def _template(self, shown: tuple[Shown, ...]) -> tuple[str, str]:
        """The chat before and after the caption."""
        told: list[dict[str, str]] = []
        for s in shown:
            told.append({"type": "text", "text": f"@{s.name}: "})
            told += [{"type": "image"} for _ in stills(s.frames)]
            told += [] if s.sound is None else [{"type": "audio"}]
        chat = [{"role": "user", "content": [*told, {"type": "text", "text": HERE}]}]
        if self.reading.instruction:
            words = [{"type": "text", "text": self.reading.instruction}]
            chat = [{"role": "system", "content": words}, *chat]
        text = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        before, found, after = text.partition(HERE)
        if not found or HERE in after:
            raise ValueError(f"the chat template in {self._folder} does not show the user's words")
        return before, after

    def _ids(self, text: str, data: bool = False) -> list[int]:
        """Tokens; control tokens in `data` are spelled out, for captions are strangers' words."""
        made = self.tokenizer(text, add_special_tokens=False, split_special_tokens=data)
        return list(made["input_ids"])

    @cached_property
    def _processor(self) -> Any:  # noqa: ANN401 - transformers' processor
        if self._open is None:
            raise ValueError("this text encoder was opened for text alone")
        try:
            return self._open(str(self._folder))
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise ValueError(
                f"the text encoder in {self._folder} has no processor that takes pictures or "
                f"sound: {error}"
            ) from error


def stills(frames: NDArray[np.uint8] | None) -> list[NDArray[np.uint8]]:
    """At most STILLS frames from the middles of equal parts."""
    if frames is None:
        return []
    count = min(STILLS, len(frames))
    return [frames[int((i + 0.5) * len(frames) / count)] for i in range(count)]
