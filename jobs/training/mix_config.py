"""What a run draws: tasks, captions, and how its losses are weighed."""

from pydantic import Field

from curation.settings import Settings


class TaskMix(Settings):
    """How often each task is drawn; the shares are weights, they need not sum to one."""

    text_to_av: float = Field(0.6, ge=0, description="picture and sound from text alone")
    image_to_av: float = Field(0.25, ge=0, description="the first frame is given")
    extend: float = Field(0.15, ge=0, description="the beginning is given")
    extend_back: float = Field(0.0, ge=0, description="the end is given")
    first_last: float = Field(0.0, ge=0, description="the first and the last frame are given")
    keyframes: float = Field(0.0, ge=0, description="some frames are given, anywhere")
    inpaint: float = Field(0.0, ge=0, description="all is given but a box, at rest or moving")
    outpaint: float = Field(0.0, ge=0, description="a box at rest is given")
    video_to_audio: float = Field(0.0, ge=0, description="the whole picture is given")
    audio_to_video: float = Field(0.0, ge=0, description="the whole sound is given")
    reference_image: float = Field(0.0, ge=0, description="a picture of the film is shown before")
    reference_clip: float = Field(0.0, ge=0, description="another clip of the film is shown before")
    reference_sound: float = Field(0.0, ge=0, description="sound of the film is heard before")
    edit: float = Field(
        0.0, ge=0, description="the clip is shown before with a box of it from another clip"
    )
    text_to_audio: float = Field(0.0, ge=0, description="steps of sound alone, from text")
    text_to_video: float = Field(0.0, ge=0, description="steps of picture alone, from text")
    text_to_image: float = Field(0.0, ge=0, description="steps of first frames alone, from text")


class CaptionMix(Settings):
    """Which caption a sample is trained with; weights, and a share with none at all."""

    short: float = Field(1.0, ge=0, description="weight of the one-sentence caption")
    long: float = Field(1.0, ge=0, description="weight of the full caption")
    structured: float = Field(0.5, ge=0, description="weight of the tagged caption")
    dropped: float = Field(0.1, ge=0, lt=1, description="share trained without text, for guidance")


class LossWeights(Settings):
    """Weights of the two streams in the training loss."""

    video: float = Field(1.0, ge=0, description="weight of the picture's squared error")
    audio: float = Field(1.0, ge=0, description="weight of the sound's squared error")
