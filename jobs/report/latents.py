"""What the autoencoders keep: encoded clips decoded again, beside what went in.

Samples are read from the shards as a trainer reads them, and the clip is cut out of its film as the
encode pass cuts it, so what is compared is what training sees. The clips are those that the pass
itself measured (`pipelines/roundtrip.py`), whose numbers for every rendition stand in the ledger.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from curation.film_spans import clips_film
from curation.media import MediaReader
from curation.records import RejectedError, Status
from curation.rendition import picture, sound
from curation.scores import Crop
from jobs.pictures import jpeg
from jobs.report.facts import Facts
from jobs.report.media import Budget, sound_picture
from model.tiles import decode_whole_or_tiled
from model.vae import AudioCodec, VideoCodec, load_audio_vae, load_video_vae, ours
from pipelines.contract import find_set
from pipelines.ledger import Row
from pipelines.roundtrip import FRAMES, first, mel_difference, psnr
from pipelines.shards import ShardError
from pipelines.stream import Reader, Sample

CLIPS = 3
SHOWN = 4  # frames of a strip


@dataclass
class RoundTrip:
    """One clip before and after the autoencoders; None where a measure is not available."""

    clip_id: str
    rendition: str
    before: str = ""
    after: str = ""
    psnr: float | None = None  # dB over the frames that were decoded
    frames: int = 0
    sound_before: str = ""
    sound_after: str = ""
    mel_db: float | None = None  # mean difference of log-mel spectrograms
    ratio: str = ""  # numbers of picture to one of latent
    trouble: str = ""


@dataclass(frozen=True)
class Codecs:
    """The autoencoders of a shard set; `whole`: a decode of some latents is not that of all."""

    video: VideoCodec
    audio: AudioCodec
    device: torch.device
    whole: bool
    tile_above: int


def round_trips(facts: Facts, reader: MediaReader, budget: Budget) -> list[RoundTrip]:
    """CLIPS encoded clips, by the lot of their ids; [] before there are any."""
    if not facts.contract:
        return []
    try:
        codecs = load_codecs(facts)
        shards = Reader(find_set(facts.recipe.data))
    except ValueError as error:
        return [RoundTrip("", "", trouble=str(error))]
    films = {row["source_id"]: row for row in facts.sources if row["status"] == Status.OK}
    places = {key: row for row, key in enumerate(shards.columns["key"].to_pylist())}
    found = []
    try:
        for key in first(places, CLIPS):
            try:
                sample = shards.sample(places[key])
                film = films.get(sample.info["source_id"], {"path": ""})
                found.append(round_trip(sample, film, reader, codecs, budget))
            except (RejectedError, ShardError, OSError) as error:
                found.append(RoundTrip(key, "", trouble=str(error)))
    finally:
        shards.close()
    return found


def load_codecs(facts: Facts) -> Codecs:
    """The recipe's autoencoders. Raises ValueError where they are not those of the shards, and for
    large ones without a GPU: a second of film takes them minutes on a CPU.
    """
    assert facts.contract is not None, "there is a shard set"
    config = facts.recipe.encode
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    small = ours(config.video_vae, "video") and ours(config.audio_vae, "audio")
    if not small and device.type == "cpu":
        raise ValueError(
            f"left out: {config.video_vae} and {config.audio_vae} are decoded only where there is "
            "a GPU"
        )
    codecs = Codecs(
        load_video_vae(config.video_vae, device),
        load_audio_vae(config.audio_vae, device),
        device,
        whole=not small,
        tile_above=config.tile_above,
    )
    for kind, codec in (("video", codecs.video), ("audio", codecs.audio)):
        if codec.fingerprint != facts.contract[f"{kind}_vae"]["fingerprint"]:
            raise ValueError(f"the recipe names another {kind} autoencoder than made these shards")
    return codecs


@torch.inference_mode()
def round_trip(
    sample: Sample, film: Row, reader: MediaReader, codecs: Codecs, budget: Budget
) -> RoundTrip:
    """Decode a sample and compare with its clip of a scanned film. Raises RejectedError."""
    shape = sample.geometry
    latents = 1 + (min(FRAMES, shape.frames) - 1) // shape.video.time
    frames = 1 + (latents - 1) * shape.video.time
    kept = sample.video if codecs.whole else sample.video[:, :latents]
    latent = kept[None].float().to(codecs.device)
    stills = shape.video != codecs.video.spec
    made = decode_whole_or_tiled(codecs.video, latent, codecs.tile_above, stills)[0, :, :frames]
    made = made.movedim(0, -1).float().cpu()
    after = ((made + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    again = None
    if sample.audio is not None:
        latent = sample.audio[None].float().to(codecs.device)
        again = codecs.audio.decode(latent, samples=shape.samples)[0].float().mean(0).cpu()
    crop: Crop | None = tuple(sample.info["crop"]) if sample.info.get("crop") else None
    rate, size = codecs.audio.decoded_rate, (frames, shape.height, shape.width)
    with clips_film(reader, [film | sample.info]) as local:
        start = sample.info["start_s"]
        before = picture(reader, local, start, size, shape.fps, crop)
        heard = None if again is None else sound(reader, local, start, len(again), rate)[0]
    trip = RoundTrip(sample.clip_id, next(iter(sample.videos)), frames=frames)
    trip.psnr = psnr(before, made)
    trip.ratio = f"{3 * np.prod(size) / sample.video[:, :latents].numel():.0f}"
    trip.before, trip.after = (budget.uri("image/jpeg", frames_of(p)) for p in (before, after))
    if heard is not None and again is not None:
        trip.mel_db = mel_difference(torch.from_numpy(heard), again, rate, rate)
        trip.sound_before, trip.sound_after = (
            budget.uri("image/webp", sound_picture(samples, len(heard) / rate, rate=rate))
            for samples in (heard, again.numpy())
        )
    return trip


def frames_of(pixels: NDArray[np.uint8]) -> bytes:
    """SHOWN frames of [F,H,W,3] at equal distances side by side, as they are, as JPEG."""
    chosen = np.linspace(0, len(pixels) - 1, min(SHOWN, len(pixels))).round().astype(int)
    return jpeg(np.concatenate(list(pixels[chosen]), axis=1))
