"""What the autoencoders keep: a few clips of every set decoded again, beside what went in.

The clips are the first by the hash of their ids, so that sets of the same clips compare and a rerun
finds its work done. Rows go to the ledger (`roundtrips/<set>`): no shard depends on them.

Letters: F frames, H W pixels, S samples.
"""

import hashlib
import math
from collections.abc import Collection

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import resample_poly
from torch import Tensor

from curation.places import Place
from curation.progress import progress, say
from curation.records import RejectedError
from model.tiles import decode_whole_or_tiled
from model.vocoder import mel_bands
from pipelines.attempts import once
from pipelines.encode_clip import ClipEncoder
from pipelines.ledger import Ledger, Row
from pipelines.stream import Reader, Sample

FRAMES = 33  # of a clip at the most: of a causal autoencoder these are a clip of their own
MELS, SIZE, HOP = 64, 1024, 256
QUIET_DB = 60.0  # below the loudest: what is compared in the sound


def measure_round_trips(
    ledger: Ledger, folder: Place, clips: list[Row], encoder: ClipEncoder
) -> list[Row]:
    """The rows of a finished set's first `encode.roundtrip_clips` clips, measured where missing.

    A row for each rendition: `psnr_db` of its picture and, beside the first, `sound_db`. What there
    is no measure of (a clip without sound, a film that is gone) is null; `detail` names a failure.
    """
    table = f"roundtrips/{folder.name}"
    reader = Reader(folder)
    try:
        places = {key: row for row, key in enumerate(reader.columns["key"].to_pylist())}
        wanted = first(places, encoder.config.roundtrip_clips)
        rows = ledger.rows(table)
        if {row["clip_id"] for row in rows} == set(wanted):
            return rows
        named = {clip["clip_id"]: clip for clip in clips}
        rows = []
        with once("round trips"), progress("round trip", len(wanted), "clips") as advance:
            for key in wanted:
                sample = reader.sample(places[key])
                rows += round_trips(sample, named[key], reader, encoder)
                advance(1)
    finally:
        reader.close()
    ledger.replace(table, rows)
    return rows


def first(keys: Collection[str], count: int) -> list[str]:
    """The first `count` ids by their hash."""
    return sorted(keys, key=lambda key: hashlib.blake2b(key.encode()).digest())[:count]


@torch.inference_mode()
def round_trips(sample: Sample, clip: Row, reader: Reader, encoder: ClipEncoder) -> list[Row]:
    """One row for each rendition of a clip."""
    rows = []
    for place, (name, latent) in enumerate(sample.videos.items()):
        shape = reader.geometry[sample.bucket][name]
        latents = 1 + (min(FRAMES, shape.frames) - 1) // shape.video.time
        frames = 1 + (latents - 1) * shape.video.time
        row: Row = {"clip_id": sample.clip_id, "rendition": name, "frames": frames}
        rows.append(row | {"psnr_db": None, "sound_db": None, "detail": None})
        try:
            before = encoder.reader.picture(clip, shape)[:frames]
            part = latent[None, :, :latents].float().to(encoder.device)
            above = encoder.config.tile_above
            stills = shape.video != encoder.video.spec
            after = decode_whole_or_tiled(encoder.video, part, above, stills)[0]
            rows[-1]["psnr_db"] = psnr(before, after.movedim(0, -1).cpu())
            if sample.audio is not None and not place:
                heard = torch.from_numpy(encoder.reader.sound(clip, shape))
                sound = sample.audio[None].float().to(encoder.device)
                back = encoder.audio.decode(sound, samples=shape.samples)[0].cpu()
                rates = (encoder.audio.decoded_rate, shape.audio.sample_rate)
                rows[-1]["sound_db"] = mel_difference(heard.mean(0), back.mean(0), *rates)
        except RejectedError as error:
            rows[-1]["detail"] = f"{error.reason}: {error.detail}"
    return rows


def tell(rows: list[Row]) -> None:
    """One line for a person."""
    said = []
    for name in dict.fromkeys(row["rendition"] for row in rows):
        found = [r["psnr_db"] for r in rows if r["rendition"] == name and r["psnr_db"] is not None]
        said += [f"{name} {np.mean(found):.1f} dB"] if found else []
    heard = [row["sound_db"] for row in rows if row["sound_db"] is not None]
    said += [f"sound differs by {np.mean(heard):.1f} dB"] if heard else []
    if said:
        count = len({row["clip_id"] for row in rows})
        say(f"encode: round trip of {count} clips: {', '.join(said)}")


def psnr(before: NDArray[np.uint8], after: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of [F,H,W,3], 0…255 against −1…1; 99 at the most."""
    shown = ((after + 1) * 127.5).round().clamp(0, 255)
    error = float((shown - torch.from_numpy(before)).double().square().mean())
    return round(min(99.0, 10 * math.log10(255**2 / max(error, 1e-6))), 3)


def mel_difference(before: Tensor, after: Tensor, after_rate: int, rate: int) -> float:
    """Mean absolute difference of log-mel spectrograms in dB, above QUIET_DB below the loudest.

    Sounds [S]; `after` is brought to the rate of `before` first.
    """
    common = math.gcd(after_rate, rate)
    if after_rate != rate:
        down = resample_poly(after.double().numpy(), rate // common, after_rate // common)
        after = torch.from_numpy(down)
    size = max(SIZE, len(before))
    bands = mel_bands(MELS, rate, SIZE, equal_area=True).double()
    powers = []
    for sound in (before, after[: len(before)]):
        fitted = torch.nn.functional.pad(sound.double(), (0, size - len(sound)))
        window = torch.hann_window(SIZE, dtype=torch.float64)
        spectra = torch.stft(fitted, SIZE, HOP, window=window, return_complex=True)
        powers.append(bands @ spectra.abs().square())
    floor = max(float(powers[0].max()), 1e-9) * 10 ** (-QUIET_DB / 10)
    levels = [10 * power.clamp(min=floor).log10() for power in powers]
    return round(float((levels[0] - levels[1]).abs().mean()), 3)
