"""The field's heavy networks as files with stated signatures; docs/evaluate.md says how to export.

All arrays are float32 but tokens, frames are RGB in 0…1, sound is mono in −1…1:

    desync      (frames [1,T,H,W,3], sound [1,S]) -> logits [1,C] over offsets, −2 s … 2 s evenly
    fvd         (frames [1,T,H,W,3]) -> features [1,D]
    sound       (sound [1,S]) -> (features [1,D], logits [1,C])
    clap        (sound [1,S]) -> [1,D];  text: (ids int64 [1,N], mask int64 [1,N]) -> [1,D]
    dino        (frames [B,H,W,3]) -> features [B,D];  clip_image the same
    lpips       (frames [B,H,W,3], frames [B,H,W,3]) -> distances [B]

What a network normalises, and the mel spectrogram that it hears by, are part of its file.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.judges.onnx_net import Run, load_net
from curation.judges.sound_nets import RATE
from jobs.config import RecipeError
from jobs.evaluate_config import Network, Networks
from jobs.evaluating.clips import Pixels, Watched
from jobs.evaluating.kept import Kept

Floats = NDArray[np.floating[Any]]

DESYNC_FPS, DESYNC_S, DESYNC_REACH_S = 25.0, 4.8, 2.0  # Iashin et al. 2024
SOUND_S = 10.0  # AudioSet's clips
BATCH = 16


class Loaded:
    """The recipe's networks, each loaded when first asked. Raises RecipeError for a wrong file."""

    def __init__(self, config: Networks) -> None:
        self.config = config
        for name in Networks.model_fields:
            self._check(getattr(config, name), name)

    @staticmethod
    def _check(network: Network | None, name: str) -> None:
        """A file that is missing is told before an hour of work."""
        if network and not network.path.is_file():
            raise RecipeError(f"evaluate.networks.{name}: there is no file {network.path}")

    @cached_property
    def runs(self) -> dict[str, Run]:
        """The files by name."""
        given = {name: getattr(self.config, name) for name in Networks.model_fields}
        found = {name: load_file(one.path, name) for name, one in given.items() if one}
        if self.config.clap and self.config.clap.text:
            found["text"] = load_file(self.config.clap.text, "clap.text")
        return found

    @cached_property
    def tokenizer(self) -> Any:  # noqa: ANN401 - one of transformers'
        """CLAP's."""
        from transformers import AutoTokenizer  # noqa: PLC0415 - seconds

        assert self.config.clap is not None
        try:
            return AutoTokenizer.from_pretrained(self.config.clap.tokenizer, local_files_only=True)
        except (OSError, ValueError) as error:
            raise RecipeError(f"evaluate.networks.clap.tokenizer: {error}") from error

    def ask(self, name: str, *arrays: NDArray[Any]) -> list[Floats]:
        """A network's outputs. Raises RecipeError where the file takes or gives something else."""
        try:
            found = [np.asarray(out) for out in self.runs[name](*arrays)]
        except Exception as error:  # onnxruntime's own types derive from Exception alone
            raise RecipeError(f"evaluate.networks.{name}: {short(error)}") from error
        outputs = 2 if name == "sound" else 1
        if len(found) < outputs or len(found[0]) != len(arrays[0]):
            shapes = [out.shape for out in found]
            raise RecipeError(
                f"evaluate.networks.{name}: the file gives {shapes}; docs/evaluate.md has the "
                "signature"
            )
        return found

    def desync(self, seen: Watched) -> float | None:
        """Mean size in seconds of the likeliest offset at the clip's beginning and at its end.

        None for a clip that is shorter than what the network sees.
        """
        net = self.config.desync
        assert net is not None
        seconds, fps = net.seconds or DESYNC_S, net.fps or DESYNC_FPS
        if seen.sound is None or min(seen.seconds, seen.sound.size / RATE) < seconds - 1e-6:
            return None
        found = []
        for start in (0.0, max(0.0, seen.seconds - seconds)):
            when = start + np.arange(round(seconds * fps)) / fps
            frames = squares(at(seen, when), net.size)
            first = round(start * RATE)
            sound = resampled(seen.sound[first : first + round(seconds * RATE)], net.rate)
            logits = self.ask("desync", frames[None], sound[None])[0][0]
            offsets = np.linspace(-DESYNC_REACH_S, DESYNC_REACH_S, logits.size)
            found.append(abs(float(offsets[int(logits.argmax())])))
        return float(np.mean(found))

    def fvd(self, seen: Watched) -> Floats:
        """Features [W,D] of windows that do not overlap; none of a clip below one window."""
        net = self.config.fvd
        assert net is not None
        pixels = seen.pixels
        if net.fps:
            pixels = at(seen, np.arange(int(seen.seconds * net.fps)) / net.fps)
        starts = range(0, len(pixels) - net.frames + 1, net.frames)
        parts = [squares(pixels[start : start + net.frames], net.size) for start in starts]
        found = [self.ask("fvd", part[None])[0][0].reshape(-1) for part in parts]
        return np.stack(found) if found else np.zeros((0, 1))

    def sound(self, sound: Floats) -> tuple[Floats, Floats]:
        """(features [P,D], mean logits [C]) of parts as long as what the network was trained on."""
        net = self.config.sound
        assert net is not None
        parts = pieces(resampled(sound, net.rate), round((net.seconds or SOUND_S) * net.rate))
        found = [self.ask("sound", part[None]) for part in parts]
        rows = np.stack([one[0][0].reshape(-1) for one in found])
        return rows, np.mean([one[1][0].reshape(-1) for one in found], axis=0)

    def clap(self, prompt: str, sound: Floats) -> float:
        """Cosine of prompt and sound (Wu et al. 2023)."""
        net = self.config.clap
        assert net is not None
        parts = pieces(resampled(sound, net.rate), round((net.seconds or SOUND_S) * net.rate))
        heard = np.mean([unit(self.ask("clap", part[None])[0][0]) for part in parts], axis=0)
        tokens = self.tokenizer(prompt, truncation=True, return_tensors="np")
        ids, mask = (tokens[name].astype(np.int64) for name in ("input_ids", "attention_mask"))
        return float(unit(heard) @ unit(self.ask("text", ids, mask)[0][0]))

    def pictures(self, name: str, pixels: Pixels) -> Floats:
        """Features [K,D] of pictures."""
        frames = squares(pixels, getattr(self.config, name).size)
        found = [self.ask(name, frames[n : n + BATCH])[0] for n in range(0, len(frames), BATCH)]
        return np.concatenate(found)

    def lpips(self, kept: Kept) -> float:
        """Mean distance of the frames that kept something; what was not kept is made equal."""
        assert self.config.lpips is not None
        made, given, where = kept
        there = where.any(axis=(1, 2))
        mixed = np.where(where[there][..., None], made[there], given[there])
        size = self.config.lpips.size
        a, b = squares(mixed, size), squares(given[there], size)
        found = [
            self.ask("lpips", a[n : n + BATCH], b[n : n + BATCH])[0].reshape(-1)
            for n in range(0, len(a), BATCH)
        ]
        return float(np.concatenate(found).mean())


def load_file(path: Path, name: str) -> Run:
    """A file of the recipe. Raises RecipeError."""
    try:
        return load_net(path, f"evaluate.networks.{name}")
    except Exception as error:  # onnxruntime's own types derive from Exception alone
        raise RecipeError(f"evaluate.networks.{name}: {short(error)}") from error


def short(error: Exception) -> str:
    """The first line of an error that may be pages of a network's code."""
    return str(error).strip().splitlines()[-1][:300] if str(error).strip() else type(error).__name__


def at(seen: Watched, when: NDArray[np.float64]) -> Pixels:
    """The frames shown at times."""
    places = np.searchsorted(seen.times, when + 1e-6, side="right") - 1
    return seen.pixels[np.clip(places, 0, len(seen.pixels) - 1)]


def squares(pixels: Pixels, size: tuple[int, int]) -> NDArray[np.float32]:
    """Pictures scaled to cover a size, their middle, in 0…1, [K,H,W,3]."""
    H, W = size
    height, width = pixels.shape[1:3]
    scale = max(H / height, W / width)
    tall, wide = max(H, round(height * scale)), max(W, round(width * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    top, left = (tall - H) // 2, (wide - W) // 2
    found = [
        cv2.resize(p, (wide, tall), interpolation=how)[top : top + H, left : left + W]
        for p in pixels
    ]
    return np.asarray(np.stack(found) / np.float32(255), np.float32)


def resampled(sound: Floats, rate: int) -> NDArray[np.float32]:
    """From RATE to another rate."""
    if rate == RATE:
        return np.asarray(sound, np.float32)
    from scipy.signal import resample_poly  # noqa: PLC0415 - seldom needed

    return np.asarray(resample_poly(sound, rate, RATE), np.float32)


def pieces(sound: NDArray[np.float32], length: int) -> list[NDArray[np.float32]]:
    """Parts of one length; the last is filled with silence."""
    starts = range(0, max(1, sound.size), length)
    return [np.pad(p, (0, length - p.size)) for p in (sound[s : s + length] for s in starts)]


def unit(vector: Floats) -> Floats:
    """At length 1."""
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
