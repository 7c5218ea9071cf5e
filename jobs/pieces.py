"""In what pieces a long clip is made; `jobs/long.py` makes them."""

from typing import Any

from jobs.config import RecipeError
from jobs.generate_config import GenerateConfig
from model.geometry import whole_frames


def pieces(
    config: GenerateConfig, card: dict[str, Any], size: dict[str, Any], time: int
) -> dict[str, int]:
    """In what pieces a clip is made, in frames; nothing where it is made at once.

    Raises RecipeError for what no piece can be made of.
    """
    fps = size["fps"]
    longest = max(each["frames"] / each["fps"] for each in card["buckets"].values())
    piece = whole_frames(round((config.piece or longest) * fps), time)
    if size["frames"] <= piece or piece == 1 or config.make == "image":
        return {}
    unknown = [name for name in ("source", "sound", "refiner") if getattr(config, name)]
    unknown += ["make: audio"] if config.make == "audio" else []
    unknown += ["extend: backward"] if config.clip and config.extend == "backward" else []
    if unknown and config.piece is None:
        return {}
    if unknown:
        raise RecipeError(
            f"generate.piece: a clip with {unknown[0]} is made at once; leave generate.piece out"
        )
    asked = piece / fps / 3 if config.overlap is None else config.overlap
    overlap = whole_frames(round(asked * fps), time)
    if config.overlap is None:
        overlap = min(max(overlap, 1 + time), piece - time)  # one frame shows no motion
    if overlap >= piece:
        raise RecipeError(
            f"generate.overlap is {overlap / fps:.2f} s in whole latents; it must be below the "
            f"piece's {piece / fps:.2f} s"
        )
    return {"piece": piece, "overlap": overlap}
