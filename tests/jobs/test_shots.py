"""Prompts of several shots become the structured caption."""

import pytest

from jobs.config import RecipeError
from jobs.shots import caption


def test_shots_become_the_structured_caption():
    """Catches another order of tags than in training, and words that lose their time."""
    prompt = (
        "a kitchen at night [0.0-2.5s] a cup falls <sfx>glass breaks</sfx> "
        "[2.5s - 5s] <dialogue>Anna: oh no</dialogue> a woman looks up"
    )
    assert caption(prompt, 5.0) == (
        "<text>a kitchen at night [0.0-2.5s] a cup falls [2.5-5.0s] a woman looks up</text>"
        "<sfx>[0.0-2.5s] glass breaks</sfx><dialogue>[2.5-5.0s] Anna: oh no</dialogue>"
        "<singing></singing><bgm></bgm>"
    )


@pytest.mark.parametrize("prompt", ["a red ball", "ratio [1:2] and [x-y]", "<text>a</text>"])
def test_other_prompts_stay_as_they_are(prompt):
    """Catches a prompt that is rewritten although it has no shots: its clip.json would lie."""
    assert caption(prompt, 5.0) == prompt


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("[2-1s] a", r"shot 1, \[2-1s\], must end after it starts"),
        ("[0-2s] a [1-3s] b", r"shot 2, \[1-3s\], starts before .* ends, at 2 s"),
        ("[0-2s] a [2-6s] b", r"shot 2.*ends after the clip, at 5\.00 s.*generate\.seconds"),
        ("[0-2s] [2-3s] b", r"shot 1.*has no words"),
    ],
)
def test_impossible_shots_are_refused(prompt, message):
    """Catches shots that the clip cannot hold, told as if it could."""
    with pytest.raises(RecipeError, match=message):
        caption(prompt, 5.0)
