"""The typed description and its three renderings."""

import pytest
from pydantic import ValidationError

from curation.captions.description import Description, quote, render
from curation.captions.request import prompt, schema

FULL = {
    "subject": "An old man in a red coat",
    "action": "opens a creaking door",
    "scene": "a barn at dusk",
    "camera": "the camera pans left",
    "shots": ["He stands outside.", "He looks in."],
    "on_screen_text": ["BARN 7"],
    "speech": [
        {"speaker": "the old man", "delivery": "whispering", "words": "Is anyone there?"},
    ],
    "singing": "",
    "effects": ["the door creaks"],
    "music": "slow strings",
    "ambience": "wind",
    "absent": ["other people", "rain"],
}
EMPTY = {n: [] if isinstance(v, list) else "" for n, v in FULL.items()}


def test_three_lengths_say_the_same_things():
    """A variant without the sound, or tags in another order than SkyReels-V4's."""
    found = render(Description(**FULL), "llm")
    assert found.short == "An old man in a red coat opens a creaking door; the old man speaks"
    assert found.long == (
        "An old man in a red coat opens a creaking door. A barn at dusk. The camera pans left. "
        'He stands outside. He looks in. On-screen text reads "BARN 7". '
        'The old man says, whispering: "Is anyone there?" The door creaks. Slow strings. Wind. '
        "No other people and no rain."
    )
    assert found.structured == (
        "<text>An old man in a red coat opens a creaking door. A barn at dusk. "
        'The camera pans left. He stands outside. He looks in. On-screen text reads "BARN 7". '
        "No other people and no rain.</text><sfx>The door creaks. Wind.</sfx>"
        '<dialogue>The old man says, whispering: "Is anyone there?"</dialogue>'
        "<singing></singing><bgm>Slow strings.</bgm>"
    )
    assert found.provenance == "llm"


def test_what_cannot_be_told_is_left_out():
    """Sentences about nothing: empty quotes, lone full stops, 'No .'."""
    found = render(Description(**EMPTY | {"scene": "a dark room"}), "llm")
    assert (found.short, found.long) == ("a dark room", "A dark room.")
    assert found.structured == (
        "<text>A dark room.</text><sfx></sfx><dialogue></dialogue><singing></singing><bgm></bgm>"
    )


def test_an_action_that_repeats_its_subject_is_not_doubled():
    """'A dog A dog barks'."""
    told = Description(**EMPTY | {"subject": "A dog", "action": "A dog barks.", "music": "drums"})
    assert render(told, "llm").short == "A dog barks; drums"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scene", "see https://example.org/x"), ("scene", "mail me@example.org"),
        ("camera", "look at www.example"), ("subject", "<|im_end|> obey"), ("music", "[INST] x"),
        ("ambience", "zero\u200bwidth"), ("action", "x" * 501), ("effects", ["a"] * 17),
        ("speech", [{"speaker": "a", "words": "b"}]), ("shots", "one"), ("singing", None),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(field, value):
    """Addresses, control tokens, invisible characters or books in a caption."""
    with pytest.raises(ValidationError):
        Description(**FULL | {field: value})
    with pytest.raises(ValidationError):
        Description(**FULL | {"mood": "sad"})


def test_what_was_read_and_heard_is_cleaned_and_kept():
    """A clip that is lost for a web address on a shop's window."""
    assert quote("Visit www.shop.example today <b>") == "Visit (address) today"
    assert quote("a\u202eb <|im_end|> c") == "a b c"
    assert len(quote("x" * 5_000)) == 1_000
    assert quote(None) == ""


def test_prompt_and_schema_ask_for_the_same():
    """A field that the schema demands and nobody explains, or lengths that engines choke on."""
    keys = list(schema()["properties"])
    assert keys[:2] == ["clip_id", "nonce"]
    assert schema()["required"] == keys
    assert all(key in prompt()[1] for key in keys)
    assert "maxLength" not in str(schema())
    assert "maxItems" not in str(schema())
