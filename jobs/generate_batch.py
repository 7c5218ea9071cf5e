"""Many requests in one file: a list of settings, each over those of the recipe's `generate`.

- {prompt: a red ball, seed: 1}
- {prompt: the cat of @image_1, references: {image_1: cat.png}, seconds: 4}
"""

from pathlib import Path
from typing import Any

from jobs.config import Recipe, RecipeError, make_recipe, read_yaml
from jobs.generate_config import GenerateConfig

MOST = 10_000


def read_batch(path: Path, recipe: Recipe) -> list[GenerateConfig]:
    """The requests of a file. Raises RecipeError naming the file, the request and its field."""
    values = read_yaml(path, list)
    if not values or len(values) > MOST:
        raise RecipeError(f"{path} has {len(values)} requests; 1 to {MOST} are possible")
    return [entry(value, f"{path}, request {n}", recipe) for n, value in enumerate(values, 1)]


def entry(value: Any, origin: str, recipe: Recipe) -> GenerateConfig:  # noqa: ANN401 - YAML
    """One request: `count` is 1 where it says nothing else."""
    if not isinstance(value, dict):
        raise RecipeError(f"{origin}: must hold `key: value` pairs, e.g. {{prompt: a red ball}}")
    section = recipe.generate.model_dump(exclude_unset=True) | {"count": 1} | value
    config = make_recipe(
        {"name": recipe.name, "out": recipe.out, "generate": section}, origin
    ).generate
    for field in ("device", "checkpoint", "lora", "workers", "refiner", "enhance"):
        if getattr(config, field) != getattr(recipe.generate, field):
            raise RecipeError(
                f"{origin}: {field} is the same for all requests; give it in the recipe or as "
                f"--generate.{field}"
            )
    return config
