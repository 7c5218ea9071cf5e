"""Prompts and references name each other, or the request is refused."""

import pytest
from pydantic import ValidationError

from jobs.config import RecipeError
from jobs.generate_config import GenerateConfig
from jobs.tags import check_tags, order, without_tags

PROMPT = "the cat of @image_1 walks as in @video_1, and says @Audio-0 'hello' to a@b.org"


def test_a_prompt_that_names_what_is_given_passes():
    """Catches a check that counts instead of matching, or that takes an address for a tag."""
    check_tags(PROMPT, {"video_1", "Audio-0", "image_1"})
    check_tags("no tags, and mail to me@example.org", ())


@pytest.mark.parametrize(
    ("prompt", "given", "message"),
    [
        (PROMPT, ["image_1", "video_1"], r"names @Audio-0.*give its file there as `Audio-0: path`"),
        ("a dog", ["image_1"], r"references\.image_1 is not named.*write @image_1"),
        ("@image_12 here", ["image_1"], r"names @image_12, which is not.*it has image_1"),
        ("@Image_1 here", [], r"@Image_1 is no tag; write @image_1"),
        ("@image1 here", ["image_1"], r"@image1 is no tag"),
        ("@audio_0 speaks", ["Audio-0"], r"@audio_0 is no tag"),
        ("@Actor-0 walks", [], r"@Actor-0 is no tag"),
    ],
)
def test_a_tag_without_a_file_and_a_file_without_a_tag(prompt, given, message):
    """Catches a reference that silently does nothing, and a tag that is read as a word."""
    with pytest.raises(RecipeError, match=message):
        check_tags(prompt, given)


def test_references_stand_by_kind_and_number():
    """Catches an order by letters: image_10 before image_2, Audio before image."""
    given = ["Audio-1", "image_10", "video_1", "image_2", "Audio-0"]
    assert order(given) == ["image_2", "image_10", "video_1", "Audio-0", "Audio-1"]


def test_the_encoder_reads_words():
    """Catches tags left as words, and other prompts that change by a space."""
    said = "the cat of walks as in, and says 'hello' to a@b.org"
    assert without_tags(PROMPT) == said
    assert without_tags("two  spaces , kept") == "two  spaces , kept"


def test_references_of_a_recipe():
    """Catches a plain path that is refused, and a tag that no prompt could name."""
    config = GenerateConfig(references={"image_1": "cat.png", "video_1": {"path": "a", "start": 2}})
    assert config.references["image_1"].path.name == "cat.png"
    assert config.references["video_1"].start == 2
    for tag in ("image_0", "audio_0", "Audio", "x"):
        with pytest.raises(ValidationError, match="references"):
            GenerateConfig(references={tag: "cat.png"})
