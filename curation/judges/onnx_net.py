"""One way to run an ONNX file: one thread, on the CPU, quiet."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.assets import MissingModelError


class OnnxNet:
    """A network: arrays in, in the order of its inputs; arrays out, in the order of its outputs."""

    def __init__(self, path: Path) -> None:
        if find_spec("onnxruntime") is None:
            raise MissingModelError(
                "onnxruntime is not installed: uv pip install -e '.[curate]' (make setup does it)"
            )
        import onnxruntime  # noqa: PLC0415 - only who judges needs it

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # one actor a core
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.inputs = [node.name for node in self.session.get_inputs()]

    def __call__(self, *arrays: NDArray[np.generic]) -> list[NDArray[np.float32]]:
        """Run once."""
        outputs: list[NDArray[np.float32]] = self.session.run(
            None, dict(zip(self.inputs, arrays, strict=True))
        )
        return outputs
