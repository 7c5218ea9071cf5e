"""A captioner in this process: a multimodal model of transformers, from a folder, not a hub."""

import io
import json
import wave
import zlib
from typing import Any

import numpy as np

from curation.captions.answer import AnswerError, CaptionStatus, Desk, Outcome, Reply
from curation.captions.config import LLMConfig
from curation.captions.request import Request, Row, Seen, messages


class LocalModel:
    """Qwen-VL and Qwen-Omni class models, and whatever AutoModelForMultimodalLM loads."""

    def __init__(self, config: LLMConfig) -> None:
        """Raises ValueError when the folder holds no such model, or a deaf one is to listen."""
        import torch  # noqa: PLC0415 - a recipe loads without torch and transformers
        import transformers  # noqa: PLC0415

        # transformers 5 calls it MultimodalLM and counts models with ears in; 4 has no such name
        auto = getattr(transformers, "AutoModelForMultimodalLM", None)
        auto = auto or transformers.AutoModelForImageTextToText
        self._config = config
        self._torch = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._processor = load_processor(config.model)
            card = transformers.AutoConfig.from_pretrained(config.model, local_files_only=True)
            # Of an Omni model only the thinker, which writes: the talker comes with a pickle.
            model = auto.from_pretrained(
                config.model,
                config=getattr(card, "thinker_config", card),
                local_files_only=True,
                use_safetensors=True,
                dtype="auto",
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise ValueError(f"{config.section}.model: {config.model}: {error}") from error
        self._model = model.to(self._device).eval()
        if config.sound and not has_ears(self._processor):
            raise ValueError(
                f"{config.section}.sound: the model in {config.model} takes no sound; "
                "set it to false"
            )

    def describe(self, clip_id: str, seen: Seen, data: Row) -> Outcome:
        """Ask once. The same clip and evidence give the same answer on the same machine."""
        desk = Desk()
        nonce = f"{zlib.crc32(clip_id.encode()):08x}"
        desk.open(clip_id, nonce)
        request = Request(clip_id, nonce, seen, data, self._config.asks(), self._config.words)
        try:
            told = desk.take(self.reply(request), clip_id, nonce, request.questions)
        except AnswerError as error:
            return Outcome(error.status, detail=str(error))
        return Outcome(CaptionStatus.OK, told)

    def reply(self, request: Request) -> Reply:
        """The model's words. It goes on after an opening that holds the request's identity."""
        torch = self._torch
        inputs = self.inputs(request)
        torch.manual_seed(zlib.crc32(request.clip_id.encode()))
        sampling: dict[str, Any] = {"do_sample": False}
        if self._config.temperature > 0:
            sampling = {"do_sample": True, "temperature": self._config.temperature}
        with torch.inference_mode():
            out = self._model.generate(
                **inputs.to(self._device), max_new_tokens=self._config.max_tokens, **sampling
            )
        new = out[0, inputs["input_ids"].shape[1] :].tolist()
        ends = self._model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        cut = len(new) >= self._config.max_tokens and new[-1] not in ends
        text = self._processor.batch_decode([new], skip_special_tokens=True)[0]
        return Reply(opening(request) + text, truncated=cut)

    def inputs(self, request: Request) -> Any:  # noqa: ANN401 - transformers' BatchFeature
        """Tokens, pixels and sound of a request, as the model takes them."""
        chat = self._processor.apply_chat_template(
            [plain_parts(message) for message in messages(request)],
            tokenize=False,
            add_generation_prompt=True,
        )
        media: dict[str, Any] = {}
        if request.seen.frames:
            media["images"] = [picture(frame) for frame in request.seen.frames]
        if request.seen.sound:
            media["audio"] = [samples(request.seen.sound)]
        return self._processor(text=[chat + opening(request)], return_tensors="pt", **media)


def opening(request: Request) -> str:
    """The beginning of every answer: a model of any size finds into the JSON from there."""
    identity = json.dumps({"clip_id": request.clip_id, "nonce": request.nonce})
    return identity.removesuffix("}") + ", "


def plain_parts(message: Row) -> Row:
    """A message in the form of transformers' chat templates, which name the kind of media only."""
    names = {"image_url": "image", "input_audio": "audio"}
    if isinstance(message["content"], str):
        return message | {"content": [{"type": "text", "text": message["content"]}]}
    parts = [
        part if part["type"] == "text" else {"type": names[part["type"]]}
        for part in message["content"]
    ]
    return message | {"content": parts}


def picture(frame: bytes) -> Any:  # noqa: ANN401 - a PIL image
    """A JPEG as the image that processors take."""
    from PIL import Image  # noqa: PLC0415

    return Image.open(io.BytesIO(frame)).convert("RGB")


def samples(sound: bytes) -> np.ndarray:
    """float32 [N] of a WAV of 16 bits."""
    with wave.open(io.BytesIO(sound)) as handle:
        whole = np.frombuffer(handle.readframes(handle.getnframes()), "<i2")
    return whole.astype(np.float32) / 32_768


def has_ears(processor: Any) -> bool:  # noqa: ANN401 - transformers' processor
    """Whether a processor takes sound."""
    return any(hasattr(processor, name) for name in ("feature_extractor", "audio_processor"))


def load_processor(folder: str) -> Any:  # noqa: ANN401 - transformers' processor
    """AutoProcessor of a folder; without torchvision, one that takes stills and no video files.

    Raises OSError, ImportError.
    """
    from transformers import AutoProcessor  # noqa: PLC0415

    try:
        return AutoProcessor.from_pretrained(folder, local_files_only=True)
    except ImportError as error:
        if "torchvision" not in str(error).lower():
            raise
    return stills_processor(folder)


def stills_processor(folder: str) -> Any:  # noqa: ANN401
    """The folder's processor with nothing for its video part, the one that needs torchvision.

    Frames go in as stills, so nobody asks it.
    """
    from transformers import (  # noqa: PLC0415
        AutoConfig,
        AutoFeatureExtractor,
        AutoImageProcessor,
        AutoTokenizer,
    )
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING  # noqa: PLC0415

    kind: Any = PROCESSOR_MAPPING[type(AutoConfig.from_pretrained(folder, local_files_only=True))]

    class Stills(kind):
        def check_argument_for_proper_class(self, name: str, part: Any) -> Any:  # noqa: ANN401
            return (
                object
                if name == "video_processor"
                else super().check_argument_for_proper_class(name, part)
            )

    makers = {
        "image_processor": lambda: AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, backend="pil"
        ),
        "tokenizer": lambda: AutoTokenizer.from_pretrained(folder, local_files_only=True),
        "feature_extractor": lambda: AutoFeatureExtractor.from_pretrained(
            folder, local_files_only=True
        ),
        "video_processor": lambda: None,
    }
    parts = {name: makers[name]() for name in kind.get_attributes()}
    return Stills(**parts, chat_template=parts["tokenizer"].chat_template)
