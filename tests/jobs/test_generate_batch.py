"""A file of requests: each over the recipe, wrong ones named."""

import pytest

from jobs.config import Recipe, RecipeError
from jobs.generate_batch import read_batch
from jobs.generate_config import GenerateConfig


def read(tmp_path, text, **fields):
    path = tmp_path / "requests.yaml"
    path.write_text(text)
    return read_batch(path, Recipe(name="x", out=tmp_path, generate=GenerateConfig(**fields)))


def test_each_request_stands_over_the_recipe(tmp_path):
    """Catches a request that forgets the recipe, or that takes over the request before it."""
    text = "- {prompt: a dog, steps: 3}\n- {seed: 5, count: 2}\n- {references: {image_1: b.png}}\n"
    one, two, three = read(tmp_path, text, prompt="a cat", steps=7, references={"video_1": "a"})
    assert (one.prompts, one.steps, one.seed, one.count) == (("a dog",), 3, 0, 1)
    assert (two.prompts, two.steps, two.seed, two.count) == (("a cat",), 7, 5, 2)
    assert list(two.references) == ["video_1"]
    assert list(three.references) == ["image_1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt: a", "must hold a list"),
        ("[]", "has 0 requests"),
        ("- a dog", r"request 1: must hold `key: value`"),
        ("- {prompt: a}\n- {promt: b}", r"(?s)request 2 has 1 wrong field.*generate\.promt"),
        ("- {make: image, seconds: 2}", r"(?s)request 1 .*make: image is one frame"),
        ("- {device: cuda}", r"request 1: device is the same for all"),
    ],
)
def test_wrong_requests_are_named(tmp_path, text, message):
    """Catches a list of a thousand requests of which one is wrong, somewhere."""
    with pytest.raises(RecipeError, match=message):
        read(tmp_path, text)
