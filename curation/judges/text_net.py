"""Text in a picture: PP-OCR's detector and recogniser through RapidOCR, one thread."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.judges.onnx_net import CUDA, Device, providers

Pixels = NDArray[np.uint8]
CERTAIN = 0.6  # below it, PP-OCR reads letters into textures


@dataclass(frozen=True)
class Line:
    """A line of text: corners [4,2] in pixels and what it says, as it was read."""

    corners: NDArray[np.float32]
    text: str

    @property
    def area(self) -> float:
        """In square pixels."""
        return float(cv2.contourArea(self.corners))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        (left, top), (right, bottom) = self.corners.min(axis=0), self.corners.max(axis=0)
        return float(left), float(top), float(right), float(bottom)


class TextReader:
    """Finds and reads lines."""

    def __init__(self, device: Device = "cpu") -> None:
        from rapidocr import RapidOCR  # noqa: PLC0415 - 1 s that only this judge needs

        self._read: Any = RapidOCR(
            params={
                "Global.use_cls": False,  # film titles stand upright
                "Global.log_level": "critical",
                "Global.text_score": CERTAIN,
                # As the picture is: the default enlarges it to 736 pixels, four times the cost.
                "Det.limit_type": "max",
                "Det.limit_side_len": 1920,
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "EngineConfig.onnxruntime.use_cuda": CUDA in providers(device),
            }
        )

    def __call__(self, picture: Pixels) -> list[Line]:
        """Lines of an RGB picture [H,W,3]."""
        found = self._read(np.ascontiguousarray(picture[..., ::-1]))
        if found is None or found.boxes is None:
            return []
        return [
            Line(np.asarray(corners, np.float32), text)
            for corners, text in zip(found.boxes, found.txts, strict=True)
            if len(text.strip()) > 1  # one letter is mostly a shape that looks like it
        ]
