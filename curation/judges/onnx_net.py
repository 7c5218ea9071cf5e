"""One way to run a network's file, ONNX or TorchScript: one thread, quiet, where it is asked to."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from curation.assets import MissingModelError
from curation.files import fingerprint, write_bytes

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

Device = Literal["cpu", "cuda"]
Run = Callable[..., list[NDArray[Any]]]


def providers(device: Device) -> list[str]:
    """What runs an ONNX file, in the order of preference.

    Raises ValueError where the GPU that was asked for cannot be used.
    """
    if device == "cpu":
        return [CPU]
    import onnxruntime  # noqa: PLC0415 - only who judges needs it

    if CUDA not in onnxruntime.get_available_providers():
        raise ValueError(
            "judge.device is cuda and this onnxruntime knows no GPU: install onnxruntime-gpu in "
            "its place on the workers, or use cpu"
        )
    return [CUDA, CPU]


class OnnxNet:
    """A network: arrays in, in the order of its inputs; arrays out, in the order of its outputs."""

    def __init__(self, path: Path, device: Device = "cpu") -> None:
        if find_spec("onnxruntime") is None:
            raise MissingModelError(
                "onnxruntime is not installed: uv pip install -e '.[curate]' (make setup does it)"
            )
        import onnxruntime  # noqa: PLC0415 - only who judges needs it

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # one actor a core
        options.log_severity_level = 3
        wanted = providers(device)
        self.session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
        if (got := self.session.get_providers())[0] != wanted[0]:  # it only warns, and goes on
            raise ValueError(f"judge.device is {device} and {path.name} runs on {got[0]}")
        self.inputs = [node.name for node in self.session.get_inputs()]

    def __call__(self, *arrays: NDArray[np.generic]) -> list[NDArray[np.float32]]:
        """Run once."""
        outputs: list[NDArray[np.float32]] = self.session.run(
            None, dict(zip(self.inputs, arrays, strict=True))
        )
        return outputs


def load_net(path: Path, field: str, device: Device = "cpu") -> Run:
    """A file as a function of arrays to a list of arrays. Raises ValueError naming the field."""
    if not path.is_file():
        raise ValueError(f"{field}: no file {str(path)!r}")
    if path.suffix == ".onnx":
        return OnnxNet(path, device)
    import torch  # noqa: PLC0415 - only for TorchScript

    try:
        net = torch.jit.load(str(path), map_location=device).eval()
    except RuntimeError as error:
        raise ValueError(f"{field}: {path} is neither .onnx nor TorchScript") from error

    def run(*arrays: NDArray[Any]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            found = net(*(torch.from_numpy(array).to(device) for array in arrays))
        return [
            out.cpu().numpy() for out in (found if isinstance(found, tuple | list) else [found])
        ]

    return run


def with_output(path: Path, tensor: str) -> Path:
    """A copy of an ONNX file, beside it, that also puts out an inner tensor, as its last output.

    Messages of protobuf that stand one after the other are merged, so the wanted output is
    appended: ModelProto.graph (field 7) with GraphProto.output (field 12) of that name.
    """
    target = path.with_name(f"{path.stem}-{fingerprint(tensor)}.onnx")
    if not target.is_file():
        name = tensor.encode()
        assert len(name) < 120  # each length is one byte below 128
        value = bytes([0x0A, len(name)]) + name
        graph = bytes([0x62, len(value)]) + value
        write_bytes(target, path.read_bytes() + bytes([0x3A, len(graph)]) + graph)
    return target
