"""One clip becomes one sample: picture and sound read, encoded, checked; and one planned shard."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curation.media import Limits
from curation.places import Place
from curation.read_ahead import BESIDE_A_GPU, Films, ReadAhead
from curation.records import Reason, RejectedError
from model.geometry import Geometry
from model.tiles import encode_whole_or_tiled
from model.vae import Spread, load_audio_vae, load_video_vae
from pipelines.attempts import Attempts, Watch, begun
from pipelines.encode_config import EncodeConfig
from pipelines.encode_media import ClipReader, Media
from pipelines.encode_plan import Makers, Task, geometry
from pipelines.encode_reuse import Earlier, earlier_samples
from pipelines.ledger import Row
from pipelines.retry import again, tries
from pipelines.shards import Encoded, Failure, read_side, write_shard
from pipelines.text_encoder import open_text_encoder

OURS = (ValueError, TypeError, LookupError, ArithmeticError)  # bugs that one clip can bring out

Known = tuple[Row, Row | None, Encoded | None]  # a clip, its failure and its sample of before


class ClipEncoder:
    """The networks of one worker, its media reader, and on a GPU some more that read ahead."""

    def __init__(
        self, config: EncodeConfig, limits: Limits | None = None, watch: Watch | None = None
    ) -> None:
        # One thread: the order of sums, and so the bits, must not depend on the machine's cores.
        torch.set_num_threads(1)
        self.config = config
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.device.type == "cuda":  # the same choice of kernels, so the same bits, every time
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        self.video = load_video_vae(config.video_vae, self.device)
        self.audio = load_audio_vae(config.audio_vae, self.device)
        if config.store_std and not isinstance(self.video, Spread):
            raise ValueError(
                f"encode.store_std: the video autoencoder {config.video_vae!r} gives no standard "
                "deviation; take one of diffusers, or leave it out"
            )
        self.text = open_text_encoder(config.text_encoder, config.text_mllm, self.device)
        self.watch: Watch = watch or Attempts()
        self._films = Films()
        ahead = config.readers
        if ahead is None:
            ahead = BESIDE_A_GPU if self.device.type == "cuda" else 0
        readers = [ClipReader(self._films, limits, self.audio.sounds) for _ in range(1 + ahead)]
        self.reader = readers[0]
        self._ahead = ReadAhead(readers[0], readers[1:])

    @property
    def makers(self) -> Makers:
        """What the plan needs to know of the networks."""
        return Makers(
            video=self.video.spec,
            audio=self.audio.spec,
            text_dim=self.text.dim,
            video_fingerprint=self.video.fingerprint,
            audio_fingerprint=self.audio.fingerprint,
            text_fingerprint=self.text.fingerprint,
        )

    def close(self) -> None:
        """End the media readers' processes and remove copies of films."""
        self._ahead.close()
        self._films.close()

    def shard(
        self, task: Task, folder: Place, advance: Callable[[int], None] = lambda _: None
    ) -> dict[str, Any]:
        """Make and commit a planned shard; return its side file. advance(1) after each clip.

        Samples that earlier sets hold are copied, and so are those of the shard itself, if it was
        made before and only some of its failures are tried again. Raises RejectedError when two
        workers died on the shard but on none of its clips.
        """
        ids = [row["clip_id"] for row in task.clips]
        side = read_side(folder, task.shard)
        failed = {row["clip_id"]: row for row in side["failures"]} if side else {}
        here = (folder / f"{task.shard}.tar", side) if side else None
        with (
            ExitStack() as closing,
            earlier_samples(folder.parent, task.earlier, ids, here) as earlier,
        ):

            def clips() -> Iterator[Encoded | Failure]:
                yield from self._clips(task, earlier, failed, advance)
                closing.enter_context(begun(self.watch, f"{task.shard} closing"))

            return write_shard(folder, task.shard, clips())

    def clip(self, row: Row, bucket: str, media: Media | None = None) -> Encoded:
        """A sample of what was read of a clip, or is read now. Raises RejectedError."""
        shapes = self._shapes(row)
        base = next(iter(shapes.values()))
        media = media or self.reader.read(row, shapes)
        tensors: dict[str, Tensor] = {}
        for name, shape in shapes.items():
            tensors |= self._video(media.pictures[name], name, shape)
        if media.sound is not None:
            tensors["audio"] = self._audio(media.sound, base)
        texts = self._texts(row)
        if not texts:
            wanted = ", ".join(self.config.text)
            raise RejectedError(Reason.BAD_CAPTION, f"there is none of: {wanted}")
        features = self.text.encode(list(texts.values()))
        for variant, feature in zip(texts, features, strict=True):
            tensors[f"text.{variant}"] = half(feature, f"text.{variant}")
        tokens = tensors[f"{next(iter(shapes))}.video"][0].numel()
        tokens += base.audio_latents if row["has_audio"] else 0
        return Encoded(
            clip_id=row["clip_id"],
            bucket=bucket,
            seconds=base.seconds,
            tokens=tokens + max(len(feature) for feature in features),
            split=row["split"],
            classes=("sound",) if row["has_audio"] else ("silent",),
            info=sample_info(row, base, texts),
            tensors=tensors,
        )

    @torch.inference_mode()
    def constants(self, buckets: dict[str, dict[str, Geometry]]) -> dict[str, Tensor]:
        """Latents of black frames and of silence, by bucket: what conditions say for "nothing"."""
        found = {}
        for bucket, shapes in sorted(buckets.items()):
            for name, shape in shapes.items():
                size = (1, 3, shape.frames, shape.height, shape.width)
                black = self._latent(-torch.ones(size, device=self.device), shape)[0]
                black = black[: shape.video.channels]
                found[f"black.{name}.{bucket}"] = half(black, "black", shape.video_shape)
            base = next(iter(shapes.values()))
            quiet = torch.zeros(1, self.audio.sounds, base.samples, device=self.device)
            silence = self.audio.encode(quiet)[0]
            found[f"silence.{bucket}"] = half(silence, "silence", base.audio_shape)
        return found

    def _shapes(self, row: Row) -> dict[str, Geometry]:
        """The geometry of each rendition of a clip."""
        span = row["end_s"] - row["start_s"]
        return {r.name: geometry(r, span, self.makers) for r in self.config.renditions}

    def _texts(self, row: Row) -> dict[str, str]:
        """The captions to encode, without empty ones."""
        return {v: t for v in self.config.text if (t := (row["captions"].get(v) or "").strip())}

    def _clips(
        self,
        task: Task,
        earlier: Earlier,
        failed: dict[str, Row],
        advance: Callable[[int], None],
    ) -> Iterator[Encoded | Failure]:
        """Samples and failures; those of `failed` that are not to be tried again stay."""
        self._films.expect(task.clips)
        for (row, before, taken), media in self._ahead.over(self._found(task, earlier, failed)):
            if before and stays(before, task):
                yield Failure(**before)
                advance(1)
                continue
            with ExitStack() as hold:  # until the sample is written
                try:
                    hold.enter_context(begun(self.watch, row["clip_id"]))
                    yield taken or self.clip(row, task.bucket, media())
                except RejectedError as error:
                    yield failure(row, error, before)
                except OURS as error:
                    trouble = RejectedError(Reason.INTERNAL, f"{type(error).__name__}: {error}")
                    yield failure(row, trouble, before)
            advance(1)

    def _found(
        self, task: Task, earlier: Earlier, failed: dict[str, Row]
    ) -> Iterator[tuple[Known, Callable[[ClipReader], Media | None]]]:
        """Each clip, its failure and its sample of before; and how it is read, if it is to be."""
        for row in task.clips:
            before = failed.get(row["clip_id"])
            if before and stays(before, task):
                yield (row, before, None), nothing
                continue
            taken = self._taken(row, task, earlier)
            yield (row, before, taken), nothing if taken else partial(self._media, row)

    def _media(self, row: Row, reader: ClipReader) -> Media:
        return reader.read(row, self._shapes(row))

    def _taken(self, row: Row, task: Task, earlier: Earlier) -> Encoded | None:
        """The sample that was made before."""
        info = sample_info(row, next(iter(self._shapes(row).values())), self._texts(row))
        return earlier.take(info, task.bucket)

    @torch.inference_mode()
    def _video(self, picture: NDArray[np.uint8], name: str, shape: Geometry) -> dict[str, Tensor]:
        """The latent of a rendition, and its standard deviation if that is asked for."""
        shown = torch.from_numpy(picture).to(self.device)
        pixels = shown.movedim(-1, 0)[None] / 127.5 - 1
        made = self._latent(pixels, shape)[0].split(shape.video.channels)
        kinds = ("video", "video_std")
        return {
            f"{name}.{kind}": half(latent, kind, shape.video_shape)
            for kind, latent in zip(kinds, made, strict=False)
        }

    def _latent(self, pixels: Tensor, shape: Geometry) -> Tensor:
        """[B,C,T,h,w] of pixels, or [B,2C,T,h,w] with the standard deviation."""
        stills = shape.video != self.video.spec
        spread = self.video if self.config.store_std and isinstance(self.video, Spread) else None
        run = None if spread is None else (lambda tile: torch.cat(spread.posterior(tile), dim=1))
        return encode_whole_or_tiled(self.video, pixels, self.config.tile_above, run, stills)

    @torch.inference_mode()
    def _audio(self, sound: NDArray[np.float32], shape: Geometry) -> Tensor:
        samples = torch.from_numpy(sound).to(self.device)[None]
        return half(self.audio.encode(samples)[0], "audio", shape.audio_shape)


def nothing(_: ClipReader) -> None:
    """A clip of which nothing is to be read."""


def stays(before: Row, task: Task) -> bool:
    """Whether an earlier failure is not to be tried again."""
    return not again(before["reason"], task.replay)


def failure(row: Row, error: RejectedError, before: Row | None) -> Failure:
    """The failure of a clip, with the attempts of the one before."""
    attempts = (before.get("attempts") or 1) if before else 0
    return Failure(row["clip_id"], error.reason, error.detail, attempts + tries(error.reason))


def half(latent: Tensor, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
    """A latent as float16 on the CPU.

    Raises RejectedError when a value is not finite or too large, and when the latent has not the
    `shape` that the clip's geometry asks for: sound has as many latents as the picture's duration.
    """
    if shape is not None and tuple(latent.shape) != shape:
        detail = f"{name}: the network made {tuple(latent.shape)}, the clip's duration asks {shape}"
        raise RejectedError(Reason.INTERNAL, detail)
    small = latent.to("cpu", torch.float16)
    if not torch.isfinite(small).all():
        raise RejectedError(Reason.NOT_FINITE, f"{name} latent")
    return small


def sample_info(row: Row, base: Geometry, texts: dict[str, str]) -> dict[str, Any]:
    """The json of a sample. Paths stay in the ledger: shards travel.

    It has a `crop` only where something was cut off.
    """
    info = {
        "clip_id": row["clip_id"],
        "source_id": row["source_id"],
        "start_s": row["start_s"],
        "end_s": row["end_s"],
        "frames": base.frames,
        "height": base.height,
        "width": base.width,
        "fps": base.fps,
        "has_audio": row["has_audio"],
        "captions": texts,
        "split": row["split"],
    }
    return info | ({"crop": row["crop"]} if row.get("crop") else {})
