"""What a card says of a caption."""

import json

from jobs.report.cards import agreement_of, tellers_of


def test_agreement_names_what_was_compared_and_by_whom():
    """A number without what it is about, or `null` for a caption that nobody compared."""
    row = {"caption_picture": 0.31, "caption_sound": None, "caption_scorer": "minilm (weak)"}
    assert agreement_of(row) == "agrees with picture 0.31 by minilm (weak)"
    assert agreement_of({"caption_sound": 0.5}) == "agrees with sound 0.5"
    assert agreement_of({}) == ""


def test_a_card_says_who_wrote_which_field():
    """Words of a transcript taken for a model's, or a second pass that is not to be seen."""
    sources = json.dumps({"action": "seer", "scene": "editor", "speech": "asr", "subject": "seer"})
    row = {"sources": sources, "rewrite": "ok", "rewrite_detail": None}
    assert tellers_of(row) == [
        ("seer", "action, subject"),
        ("editor", "scene"),
        ("asr", "speech"),
        ("second pass", "ok"),
    ]
    refused = {"sources": None, "rewrite": "refused", "rewrite_detail": "music: no source has any"}
    assert tellers_of(refused) == [("second pass", "refused: music: no source has any")]
    assert tellers_of({}) == tellers_of({"sources": "[1]"}) == tellers_of({"sources": "{"}) == []
