"""What the proof asks for: requests whose answer is known, from test films and their truth."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.files import write_bytes
from curation.media_write import write_clip
from curation.world.config import Combination, WorldConfig
from curation.world.film import Film, make_film
from jobs.proving.others import alike, changed, edited, spoken
from jobs.proving.truth import Truth, expected
from jobs.training.mix_config import TaskMix
from model.geometry import whole_frames

TEXT, HELD_OUT = "text", "text, held out"
FEW = {"text, 8 steps": 8, "text, 4 steps": 4}  # of the sampler
EDIT, LONG = "masked edit", "long film"
REFERENCES = {
    "reference picture": "image_1",
    "reference clip": "video_1",
    "reference sound": "Audio-0",
}  # the tag
PIECES = 3  # of a long film; each new one goes on from a third of the one before
HOLE = (0.25, 0.25, 0.75, 0.75)  # of a picture: remade when it is inpainted, given for outpainting
# Capability -> the training task without which a model cannot have it.
CAPABILITIES = {
    TEXT: "text_to_av",
    HELD_OUT: "text_to_av",
    **dict.fromkeys(FEW, "text_to_av"),
    "first frame": "image_to_av",
    "first and last frame": "first_last",
    "extension": "extend",
    "inpainting": "inpaint",
    "outpainting": "outpaint",
    EDIT: "inpaint",
    LONG: "extend",
    "reference picture": "reference_image",
    "reference clip": "reference_clip",
    "reference sound": "reference_sound",
    "sound for a picture": "video_to_audio",
    "picture for a sound": "audio_to_video",
}


@dataclass(frozen=True)
class Case:
    """One request and what would be right."""

    capability: str
    number: int
    prompt: str
    fields: dict[str, Any]  # of `generate`, beside prompt and seed
    film: Film  # what would be right, frame by frame
    truth: Truth
    since: float = 0.0  # seconds that are given whole; what happens there was not made
    last: int | None = None  # frames at the end that are read; all


def worlds(
    world: WorldConfig, held_out: tuple[Combination, ...], seed: int
) -> dict[str, WorldConfig]:
    """Training films, and test films of seen and of unseen kinds: three seeds, tests clean.

    Raises ValidationError where what is held out leaves nothing, or is nothing of the world's.
    """
    others = tuple(one for one in world.never if one not in held_out)
    values = world.model_dump(exclude={"never", "only", "defects"})
    train = {**values, "never": others + held_out, "only": world.only}
    named = {"unnamed": 0.0}  # what is asked for in words is said
    found = {
        "train": WorldConfig(**train, defects=world.defects),
        TEXT: WorldConfig(**{**train, **named, "seed": seed}),
    }
    if held_out:
        unseen = {**values, **named, "never": others, "only": held_out, "seed": seed + 1}
        found[HELD_OUT] = WorldConfig(**unseen)
    return found


def can(tasks: TaskMix) -> list[str]:
    """The capabilities that a training with these tasks gives."""
    return [name for name, task in CAPABILITIES.items() if getattr(tasks, task) > 0]


def cases(capability: str, world: WorldConfig, count: int, folder: Path) -> list[Case]:
    """The first `count` requests of a capability; files that they need are written to `folder`."""
    return [case(capability, world, number, folder) for number in range(count)]


def case(capability: str, world: WorldConfig, number: int, folder: Path) -> Case:
    """Request `number`: the film of that number is asked for, or a part of it given."""
    if capability in REFERENCES:  # captions of which leave open what only the reference tells
        world = world.model_copy(update={"unnamed": 1.0})
    film = edited(world, number) if capability == EDIT else make_film(world, number)
    prompt = spoken(film)
    stem = folder / f"{number:04d}"
    fields: dict[str, Any] = {}
    last = None
    if tag := REFERENCES.get(capability):
        fields = {"references": {tag: reference(tag, alike(world, number), stem)}}
        prompt = f"{prompt} @{tag}"
    elif capability == EDIT:
        fields = masked(make_film(world, number), film, stem)
    elif capability in FEW:
        fields = {"steps": FEW[capability]}
    elif capability == LONG:
        fields, last = pieces(film), len(film.pixels)
    else:
        fields = given(capability, film, stem)
    since = fields.get("keep", 0) / film.fps
    return Case(capability, number, prompt, fields, film, expected(film.truth), since, last)


def pieces(film: Film) -> dict[str, Any]:
    """A film so long that it takes PIECES as long as `film`."""
    new = (len(film.pixels) - 1) * 2 // 3
    frames = whole_frames(len(film.pixels) + (PIECES - 1) * new)
    seconds = len(film.pixels) / film.fps
    return {"frames": frames, "piece": seconds, "overlap": seconds / 3}


def reference(tag: str, film: Film, stem: Path) -> Path:
    """The file that a tag names: the first frame of another film, or all of it."""
    stem = stem.with_name(f"{stem.name}-alike")
    return still(film, 0, stem) if tag == "image_1" else written(film, stem.with_suffix(".mp4"))


def masked(before: Film, after: Film, stem: Path) -> dict[str, Any]:
    """A film and what of it an edit makes anew, a box that goes with the object."""
    mask = stem.with_name(f"{stem.name}-mask.mp4")
    write_clip(mask, changed(before, after), before.fps, crf=0)
    source = written(before, stem.with_name(f"{stem.name}-before.mp4"))
    return {"source": source, "mask": mask}


def given(capability: str, film: Film, stem: Path) -> dict[str, Any]:
    """The fields of a request that give a part of the film, and their files."""
    whole = stem.with_suffix(".mp4")
    match capability:
        case "first frame":
            return {"image": still(film, 0, stem)}
        case "first and last frame":
            return {"image": still(film, 0, stem), "last_image": still(film, -1, stem)}
        case "extension":
            frames = whole_frames(len(film.pixels) // 2 + 1)
            path = stem.with_name(f"{stem.name}-begin.mp4")
            length = round(frames / film.fps * film.rate)
            write_clip(path, film.pixels[:frames], film.fps, film.samples[:, :length], film.rate, 0)
            return {"clip": path, "keep": frames}
        case "inpainting":
            return {"source": written(film, whole), "box": HOLE}
        case "outpainting":
            return {"source": written(film, whole), "inside": HOLE}
        case "sound for a picture":
            return {"source": written(film, whole), "make": "sound"}
        case "picture for a sound":
            return {"sound": written(film, whole), "make": "picture"}
    return {}


def still(film: Film, number: int, stem: Path) -> Path:
    """A frame as PNG."""
    import cv2  # noqa: PLC0415 - slow to import

    path = stem.with_name(f"{stem.name}-{'first' if number == 0 else 'last'}.png")
    write_bytes(path, cv2.imencode(".png", film.pixels[number, ..., ::-1])[1].tobytes())
    return path


def written(film: Film, path: Path) -> Path:
    """The film as mp4, nearly without loss."""
    write_clip(path, film.pixels, film.fps, film.samples, film.rate, 0)
    return path
