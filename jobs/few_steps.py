"""How many steps and how much guidance a checkpoint is asked with: as the recipe says, else as its
card does. A distilled model (train.distil) goes in its own steps, or in a multiple of them.
"""

from typing import Any

from jobs.config import RecipeError
from jobs.generate_config import GenerateConfig

STEPS, REFINER_STEPS, GUIDANCE = 30, 8, 3.0  # where neither recipe nor card says


def sampling_fields(config: GenerateConfig, card: dict[str, Any]) -> dict[str, Any]:
    """Steps, sampler, shift and text guidance of a request. Raises RecipeError."""
    few = card.get("distil")
    guidance = GUIDANCE if few is None else 1.0
    found = {
        "steps": steps_of(config.steps, card, STEPS, "steps"),
        "sampler": config.sampler,
        "shift": config.shift,
        "guidance_video": guidance if config.guidance_video is None else config.guidance_video,
        "guidance_audio": guidance if config.guidance_audio is None else config.guidance_audio,
    }
    if few is None:
        return found
    for field in ("guidance_video", "guidance_audio"):
        if found[field] != 1 and few[field] != 1:
            raise RecipeError(
                f"generate.{field} is {found[field]:g}, but the model was distilled with guidance "
                f"of {few[field]:g} in it and would be guided twice; give "
                f"--generate.{field} 1, or leave it out of the recipe"
            )
    if config.sampler != "euler":
        raise RecipeError(
            f"generate.sampler is {config.sampler}; a distilled model goes straight to the end of "
            "each of its steps: use euler"
        )
    if config.shift not in (1.0, few["shift"]):
        raise RecipeError(
            f"generate.shift is {config.shift:g}, the model was distilled with {few['shift']:g}; "
            "leave it out"
        )
    return found | {"shift": few["shift"]}


def steps_of(asked: int | None, card: dict[str, Any], default: int, field: str) -> int:
    """Sampler steps of a checkpoint. Raises RecipeError where a distilled one cannot take them."""
    few = card.get("distil")
    if few is None:
        return default if asked is None else asked
    own = int(few["steps"])
    if asked is not None and asked % own:
        raise RecipeError(
            f"generate.{field} is {asked}, the model was distilled to {own}; leave it out, or give "
            f"a multiple of {own}"
        )
    return own if asked is None else asked
