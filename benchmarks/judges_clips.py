"""Real clips whose answers are known: films, photographs and sounds out of registry packages."""

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as value
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray

from curation.assets import Asset, cache, fetch
from curation.media import MediaReader
from curation.media_write import write_clip
from jobs.samples import PACKAGES
from jobs.samples import fetch as fetch_films

WIDE = (360, 640)
FPS, SECONDS, RATE = 12.0, 4.0, 48_000
_IMAGES, _SPEECH, _MUSIC = "scikit-image==0.26.0", "moonshine-voice==0.0.49", "gradio==6.31.0"


def photograph(name: str, sha256: str) -> Asset:
    """A picture of scikit-image's own data."""
    return Asset(name, _IMAGES, (f"skimage/data/{name}",), sha256, 14, "CC0 or public domain")


CAT = photograph("chelsea.png", "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb")
CUP = photograph("coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7")
WOMAN = photograph(
    "astronaut.png", "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"
)
PAGE = photograph("page.png", "341a6f0a61557662b02734a9b6e56ec33a915b2c41886b97509dedf2a43b47a3")
SPEECH = Asset(
    "two_cities.wav",
    _SPEECH,
    ("moonshine_voice/assets/two_cities.wav",),
    "f3348494d77cb74a02862f5e685ed09faf3e75832c5cc5c80703282c2cd8b52e",
    85,
    "MIT",
)
SAX = Asset(
    "sax.wav",
    _MUSIC,
    ("gradio/media_assets/audio/sax.wav",),
    "12ee32c66257e1c98ed0f2f7b708a1eab638ec09f4c69dda3ec1d78047a7be4d",
    31,
    "Apache-2.0",
)

Known = dict[str, tuple[str, Callable[[Any], bool]]]
Sound = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Made:
    """A clip on disk and what is known of it: column -> (in words, whether a value is right)."""

    name: str
    path: Path
    seconds: float
    known: Known = value(default_factory=dict)


def near(target: float, reach: float) -> tuple[str, Callable[[Any], bool]]:
    """Within `reach` of a number."""
    return f"{target:g} ± {reach:g}", lambda v: v is not None and abs(v - target) <= reach


def least(bound: float) -> tuple[str, Callable[[Any], bool]]:
    """At least a number."""
    return f"≥ {bound:g}", lambda v: v is not None and v >= bound


def most(bound: float) -> tuple[str, Callable[[Any], bool]]:
    """At most a number."""
    return f"≤ {bound:g}", lambda v: v is not None and v <= bound


def says(*words: str) -> tuple[str, Callable[[Any], bool]]:
    """A text with one of these words in it."""
    return " or ".join(words), lambda v: any(word in (v or "").lower() for word in words)


NOTHING = ("null", lambda v: v is None)


def make_clips(folder: Path, *, quick: bool) -> list[Made]:
    """Write the clips below `folder`; the talking head comes first."""
    films = cache() / "films"
    wanted = [p for p in PACKAGES if not quick or p.requirement.startswith("psychopy")]
    fetch_films(films, tuple(wanted))
    made = heads(folder, films / "jwpIntro.mp4")
    cat, cup, woman, page = (load(asset) for asset in (CAT, CUP, WOMAN, PAGE))
    hush = np.zeros(round(SECONDS * RATE))
    noise = np.random.default_rng(0).normal(0, 0.02, hush.size)
    blurred = cv2.GaussianBlur(cup, (0, 0), 4)
    made += [
        photo(folder, "page, silence", page, hush, {
            "text": says("segmentation"), "text_area": least(0.15), "sound_class": says("silent"),
            "av_agreement": NOTHING, "voice_over": near(0, 0),
        }),
        photo(folder, "cat, noise", cat, noise, {
            "tags": says("cat", "tabby"), "faces": near(0, 0), "sound_class": says("ambience"),
            "dnsmos_ovrl": NOTHING, "nsfw": most(0.2), "text": NOTHING,
        }),
        photo(folder, "cup, noise", cup, noise, {
            "tags": says("espresso", "cup"), "brisque": most(40), "colourfulness": least(45),
        }),
        photo(folder, "cup blurred", blurred, noise, {
            "brisque": least(60), "fine_detail": most(20),
        }),
        photo(folder, "woman, noise", woman, noise, {
            "faces": near(1, 0), "talking_face": near(1, 0), "lip_offset_ms": NOTHING,
            "nsfw": most(0.2),
        }),
    ]  # fmt: skip
    return made if quick else made + with_sounds(folder, films, cat, cup)


def heads(folder: Path, film: Path) -> list[Made]:
    """The talking head as it is, and with its sound moved by a known time."""
    with MediaReader() as reader:
        frames = reader.frames(film)
        sound = reader.sound(film, RATE, 0.0, 5.6, mono=True).samples[0]
    pixels = frames.pixels[: round(5.6 * 29.97)]
    known: Known = {
        "faces": near(1, 0), "face_share": near(1, 0), "talking_face": near(1, 0),
        "tags": says("library", "bookcase", "bookshop"), "events": says("speech"),
        "sound_class": says("speech"), "dnsmos_ovrl": least(2.5), "nsfw": most(0.2),
        "voice_over": near(0, 0), "music_bed": near(0, 0), "lip_offset_ms": near(0, 45),
        "lip_likeness": least(0.45),
    }  # fmt: skip
    made = []
    for late in (0, -500, -320, -200, -100, -40, 40, 100, 200, 320, 500):
        moved = shift(sound, round(late / 1000 * RATE))
        name = f"talking head, sound {late:+d} ms" if late else "talking head"
        path = write(folder, name, pixels, 29.97, moved)
        made.append(Made(name, path, 5.6, {"lip_offset_ms": near(late, 45)} if late else known))
    return made


def with_sounds(folder: Path, films: Path, cat: Any, cup: Any) -> list[Made]:  # noqa: ANN401
    """Photographs with speech and music, another's voice on the head, and a title card."""
    speech, sax = load_sound(SPEECH, 3.0, 5.6), load_sound(SAX, 1.0, 5.6)
    four = round(SECONDS * RATE)
    with MediaReader() as reader:
        head = reader.frames(films / "jwpIntro.mp4").pixels[: round(5.6 * 29.97)]
        card = reader.frames(films / "trailer_bbb.mp4", start=20, end=24, short_side=360)
        score = reader.sound(films / "trailer_bbb.mp4", RATE, 20.0, 24.0, mono=True).samples[0]
    return [
        photo(folder, "cat, speech", cat, speech[:four], {
            "sound_class": says("speech"), "voice_over": near(1, 0), "dnsmos_ovrl": least(2.5),
            "events": says("speech"), "music_bed": near(0, 0), "lip_offset_ms": NOTHING,
        }),
        photo(folder, "cup, saxophone", cup, sax[:four], {
            "sound_class": says("music"), "events": says("saxophone"), "voice_over": near(0, 0),
            "dnsmos_ovrl": NOTHING,
        }),
        photo(folder, "cat, speech over sax", cat, speech[:four] + 0.3 * sax[:four], {
            "sound_speech": least(0.5), "sound_music": least(0.5), "music_bed": near(1, 0),
        }),
        *strangers(folder, head),
        Made("trailer, title", write(folder, "title", card.pixels, 24.0, score), 4.0,
             {"text": says("overweight"), "tags": says("hare", "rabbit", "hamster")}),
    ]  # fmt: skip


def strangers(folder: Path, head: NDArray[np.uint8]) -> list[Made]:
    """The talking head with six stretches of another's speech; its own is 0.5 alike."""
    made = []
    for start in range(1, 37, 6):
        name = f"talking head, a stranger's words from {start} s"
        voice = load_sound(SPEECH, float(start), 5.6)
        path = write(folder, name, head, 29.97, voice)
        made.append(Made(name, path, 5.6, {"lip_likeness": most(0.45)}))
    return made


def photo(folder: Path, name: str, picture: NDArray[np.uint8], sound: Sound, known: Known) -> Made:
    """A clip that pans slowly over a photograph."""
    height, width = picture.shape[:2]
    zoom = max((WIDE[0] + 24) / height, (WIDE[1] + 24) / width)
    large = cv2.resize(picture, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    top = (large.shape[0] - WIDE[0]) // 3
    steps = np.linspace(0, large.shape[1] - WIDE[1], round(SECONDS * FPS)).astype(int)
    frames = np.stack([large[top : top + WIDE[0], x : x + WIDE[1]] for x in np.minimum(steps, 24)])
    return Made(name, write(folder, name, frames, FPS, sound), SECONDS, known)


def write(folder: Path, name: str, pixels: NDArray[np.uint8], fps: float, sound: Sound) -> Path:
    """An mp4 of frames and mono sound."""
    path = folder / f"{name}.mp4"
    write_clip(path, pixels, fps, sound[None].astype(np.float32), RATE)
    return path


def shift(sound: Sound, late: int) -> Sound:
    """The sound `late` samples later (earlier when negative), silence where it is missing."""
    moved = np.roll(sound, late)
    moved[: max(0, late)] = 0
    moved[moved.size + min(0, late) :] = 0
    return moved


def load(asset: Asset) -> NDArray[np.uint8]:
    """A photograph as RGB."""
    return np.ascontiguousarray(cv2.imread(str(fetch(asset)))[..., ::-1], np.uint8)


def load_sound(asset: Asset, start: float, seconds: float) -> Sound:
    """Mono sound at RATE, a stretch of a file."""
    wave, rate = soundfile.read(fetch(asset), always_2d=True)
    mono = wave.mean(axis=1)[round(start * rate) : round((start + seconds) * rate)]
    grid = np.arange(round(seconds * RATE)) / RATE * rate
    return np.interp(grid, np.arange(mono.size), mono)
