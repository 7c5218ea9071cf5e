"""What an encode pass makes. Apart from the code, so that reading a recipe stays quick."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from curation.settings import Settings

Variant = Annotated[str, StringConstraints(pattern="^(short|long|structured)$")]


class Rendition(Settings):
    """One size in which clips are encoded."""

    name: str = Field("base", pattern=r"^[a-z][a-z0-9_]{0,31}$", description="name of its tensors")
    height: int = Field(64, ge=8, le=4096, multiple_of=8, description="pixels")
    width: int = Field(64, ge=8, le=4096, multiple_of=8, description="pixels")
    fps: float = Field(8.0, gt=0, le=120, description="frames a second")
    frames: int = Field(
        17,
        ge=1,
        le=10_001,
        description="most frames of a clip; used as 1 + the video VAE's stride (4, LTX-2's 8) x k",
    )
    stills: bool = Field(
        False, description="every frame is a latent of its own, for keyframes; any number of frames"
    )


EMBEDDED = "minilm"
# What HunyuanVideo 1.5 tells its Qwen2.5-VL, to the letter: a donor knows features under it.
INSTRUCTION = (
    "You are a helpful assistant. Describe the video by detailing the following aspects:         "
    "1. The main content and theme of the video.         "
    "2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects."
    "         3. Actions, events, behaviors temporal relationships, physical movement changes of "
    "the objects.         4. background environment, light, style and atmosphere.         "
    "5. camera angles, movements, and transitions used in the video."
)


class MLLMConfig(Settings):
    """How a multimodal language model reads captions; MiniLM needs none of it."""

    layer: int = Field(
        -3, description="hidden state to take: 0 the embeddings, -1 the last, normalised one"
    )
    instruction: str = Field(
        INSTRUCTION, max_length=8_000, description="system message of the chat; '' none"
    )
    max_tokens: int = Field(512, ge=8, le=16_384, description="most tokens of a caption")
    dtype: Literal["float32", "bfloat16"] = Field("bfloat16", description="of its weights")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where it runs; auto: where the rest does"
    )


class EncodeConfig(Settings):
    """Which latents are made of kept clips, and how they are packed."""

    renditions: tuple[Rendition, ...] = Field(
        (Rendition(),),
        min_length=1,
        max_length=8,
        description="sizes; sound belongs to the first",
    )
    phase: str = Field("", description="phase of the policy whose clips are encoded; '' the policy")
    text: tuple[Variant, ...] = Field(
        ("short", "long", "structured"), min_length=1, description="captions to encode"
    )
    video_vae: str = Field(
        "embedded",
        description="'embedded', a folder of `reelmill vae` or of diffusers, or hub id[@revision]",
    )
    audio_vae: str = Field(
        "embedded", description="the same; of diffusers, LTX-2's with its vocoder beside it"
    )
    tile_above: int = Field(
        921_600,  # 1280 x 720
        ge=262_144,  # a tile
        description="frames with more pixels are encoded in overlapping tiles of 512 x 512",
    )
    store_std: bool = Field(
        False, description="also store the standard deviation of video latents, of diffusers' VAEs"
    )
    roundtrip_clips: int = Field(
        4, ge=0, le=1_000, description="clips of a set that are decoded again and compared"
    )
    text_encoder: str = Field(
        EMBEDDED,
        description="'minilm', or a multimodal language model: its folder or hub id[@revision]",
    )
    text_mllm: MLLMConfig = Field(
        default_factory=MLLMConfig, description="how a multimodal text_encoder reads"
    )
    shard_clips: int = Field(256, ge=1, le=100_000, description="most clips in a shard")
    shard_mib: float = Field(256.0, gt=0, description="about the most MiB in a shard")
    workers: int = Field(
        0, ge=0, description="encoder actors; 0: one a GPU or CPU, none for few clips"
    )
    readers: int | None = Field(
        None, ge=0, le=32, description="decoders ahead of each encoder; null: 4 on a GPU, else none"
    )

    @field_validator("renditions")
    @classmethod
    def distinct(cls, value: tuple[Rendition, ...]) -> tuple[Rendition, ...]:
        """Two renditions of one name would overwrite each other's latents."""
        names = [rendition.name for rendition in value]
        if len(set(names)) != len(names):
            raise ValueError(f"renditions need distinct names, got {', '.join(names)}")
        return value

    @model_validator(mode="after")
    def acts(self) -> Self:
        """A setting that would not act is a mistake."""
        if self.text_encoder == EMBEDDED and self.text_mllm != MLLMConfig():
            raise ValueError(
                "text_mllm is set and text_encoder is minilm; name a multimodal model's folder or "
                "hub id in encode.text_encoder, or leave text_mllm out"
            )
        return self


def text_card(config: EncodeConfig, fingerprint: str, dim: int) -> dict[str, Any]:
    """What contract and card say of the encoder: enough to open the same one again."""
    reading = {"reading": config.text_mllm.model_dump(mode="json", exclude={"device"})}
    return {
        "encoder": config.text_encoder,
        "fingerprint": fingerprint,
        "dim": dim,
        **({} if config.text_encoder == EMBEDDED else reading),
    }
