"""What the generated films look like and sound like."""

from itertools import product
from typing import Literal, Self

from pydantic import Field, model_validator

from curation.settings import Settings

Shape = Literal["ball", "square", "triangle", "star"]
Colour = Literal["red", "orange", "yellow", "green", "cyan", "blue", "purple", "white"]
Motion = Literal["fall", "throw", "appear", "collide"]
Background = Literal["plain", "gradient", "texture", "stripes"]
Kind = tuple[str, str, str]  # shape, colour, motion


class Defects(Settings):
    """The share of films that carry each planted defect; a film carries at most one."""

    silence: float = Field(0.0, ge=0, le=1, description="share of films whose sound is all zeros")
    shift: float = Field(0.0, ge=0, le=1, description="share whose sound is shifted in time")
    freeze: float = Field(0.0, ge=0, le=1, description="share whose picture stands still a while")
    letterbox: float = Field(0.0, ge=0, le=1, description="share squeezed between black bars")
    overlay: float = Field(0.0, ge=0, le=1, description="share with text burned in")
    duplicate: float = Field(
        0.0, ge=0, le=1, description="share that repeat an earlier film's bytes"
    )
    reencode: float = Field(
        0.0, ge=0, le=1, description="share that re-encode an earlier film badly"
    )
    truncate: float = Field(0.0, ge=0, le=1, description="share whose file ends too early")
    watermark: float = Field(0.0, ge=0, le=1, description="share with a half-clear logo")
    noise: float = Field(0.0, ge=0, le=1, description="share with grain on every frame")
    blur: float = Field(0.0, ge=0, le=1, description="share out of focus")
    blocking: float = Field(
        0.0, ge=0, le=1, description="share that an old codec cut into 8x8 blocks"
    )
    drops: float = Field(0.0, ge=0, le=1, description="share that lacks frames, times kept")
    pillarbox: float = Field(0.0, ge=0, le=1, description="share squeezed between side bars")
    inset: float = Field(0.0, ge=0, le=1, description="share shown small on a still page")
    overexposed: float = Field(0.0, ge=0, le=1, description="share with two fifths blown out")
    underexposed: float = Field(0.0, ge=0, le=1, description="share with nine tenths in black")
    clipping: float = Field(0.0, ge=0, le=1, description="share whose sound is cut at full scale")
    hiss: float = Field(0.0, ge=0, le=1, description="share with white noise under the sound")
    hum: float = Field(0.0, ge=0, le=1, description="share with mains hum under the sound")
    dead_channel: float = Field(0.0, ge=0, le=1, description="share with one channel empty")
    fake_stereo: float = Field(0.0, ge=0, le=1, description="share with twice the same channel")
    inverted: float = Field(0.0, ge=0, le=1, description="share with one channel's sign turned")
    narrowband: float = Field(0.0, ge=0, le=1, description="share upsampled from a low rate")
    dropouts: float = Field(0.0, ge=0, le=1, description="share with holes in the sound")
    swap: float = Field(0.0, ge=0, le=1, description="share with the sound of another film")

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        if (total := sum(self.model_dump().values())) > 1 + 1e-9:
            raise ValueError(f"the shares add up to {total:g}; a film has one defect, make it ≤ 1")
        return self


class Combination(Settings):
    """A kind of object; what is not named may be anything. Its sound follows from its look."""

    shape: Shape | None = Field(None, description="also sets the timbre")
    colour: Colour | None = Field(None, description="also sets the pitch")
    motion: Motion | None = Field(None, description="how it enters")

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("a combination names a shape, a colour or a motion")
        return self

    def fits(self, kind: Kind) -> bool:
        """Whether an object (shape, colour, motion) is of this kind."""
        wanted = self.shape, self.colour, self.motion
        return all(want in (None, has) for want, has in zip(wanted, kind, strict=True))


class WorldConfig(Settings):
    """Generated films. The defaults are the simplest world: one ball that falls and bounces."""

    films: int = Field(24, ge=0, description="how many films")
    seed: int = Field(0, ge=0, description="films are a pure function of settings, seed and number")
    height: int = Field(64, ge=32, le=512, multiple_of=8, description="picture height")
    width: int = Field(64, ge=32, le=512, multiple_of=8, description="picture width")
    fps: float = Field(8.0, ge=8, le=32, description="frames a second")
    seconds: tuple[float, float] = Field((2.125, 2.125), description="shortest and longest film")
    shots: tuple[int, int] = Field((1, 1), description="fewest and most shots of a film")
    objects: tuple[int, int] = Field(
        (1, 1), description="fewest and most objects of a shot, 1 to 5"
    )
    motions: tuple[Motion, ...] = Field(("fall",), min_length=1, description="how objects move")
    colours: tuple[Colour, ...] = Field(
        ("red", "yellow", "green", "blue"), min_length=1, description="the colour sets the pitch"
    )
    shapes: tuple[Shape, ...] = Field(
        ("ball",), min_length=1, description="the shape sets the timbre"
    )
    never: tuple[Combination, ...] = Field(
        (), description="kinds of objects that no film has, held out of a training world"
    )
    only: tuple[Combination, ...] = Field(
        (), description="kinds that all objects are of: what a test world asks for; empty: any"
    )
    radius: tuple[float, float] = Field(
        (0.13, 0.13), description="smallest and largest object, in picture heights"
    )
    gravity: float = Field(4.0, gt=0, le=20, description="picture heights a second squared")
    backgrounds: tuple[Background, ...] = Field(
        ("plain",), min_length=1, description="what is behind the objects"
    )
    pan: float = Field(0.0, ge=0, le=1, description="chance that the camera of a shot pans")
    occluder: float = Field(0.0, ge=0, le=1, description="chance of a pillar in front of a shot")
    off_screen: float = Field(
        0.0, ge=0, le=1, description="chance of a sound nobody sees in a shot"
    )
    music: float = Field(0.0, ge=0, le=1, description="chance of a quiet music bed under a film")
    wind: float = Field(0.0, ge=0, le=1, description="chance of quiet gusts of wind under a film")
    speech: float = Field(0.0, ge=0, le=1, description="chance of a narrator (needs extra `voice`)")
    unnamed: float = Field(
        0.0, ge=0, le=1, description="chance that a film's captions leave open what its objects "
        "look and sound like: what a reference is then needed for",
    )  # fmt: skip
    rate: Literal[16000, 22050, 24000, 32000, 44100, 48000] = Field(
        16000, description="sound samples a second"
    )
    channels: Literal[1, 2] = Field(1, description="1 mono; 2 places sounds left and right")
    crf: int = Field(18, ge=0, le=40, description="H.264 quality, lower is better")
    shift_ms: tuple[int, int] = Field(
        (120, 400), description="smallest and largest shift of the defect `shift`, either way"
    )
    defects: Defects = Field(Defects(), description="planted defects")

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of objects that a film may have."""
        every = product(self.shapes, self.colours, self.motions)
        return tuple(dict.fromkeys(kind for kind in every if self.allows(kind)))

    def allows(self, kind: Kind) -> bool:
        """Whether `only` and `never` leave a kind of object."""
        among = not self.only or any(one.fits(kind) for one in self.only)
        return among and not any(one.fits(kind) for one in self.never)

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if not self.kinds:
            raise ValueError("never and only leave no kind of object of shapes, colours, motions")
        return self

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        limits = {
            "seconds": (2.0, 20.0),
            "shots": (1, 20),
            "objects": (1, 5),
            "radius": (0.04, 0.2),
            "shift_ms": (1, 2000),
        }
        for name, (low, high) in limits.items():
            start, end = getattr(self, name)
            if not low <= start <= end <= high:
                raise ValueError(
                    f"{name}=({start}, {end}) must rise and lie in {low:g} to {high:g}"
                )
        two = [n for n in ("dead_channel", "fake_stereo", "inverted") if getattr(self.defects, n)]
        if two and self.channels < 2:
            raise ValueError(f"defects.{two[0]} needs channels=2")
        return self
