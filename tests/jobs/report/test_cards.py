"""What a card says of a caption."""

from jobs.report.cards import agreement_of


def test_agreement_names_what_was_compared_and_by_whom():
    """A number without what it is about, or `null` for a caption that nobody compared."""
    row = {"caption_picture": 0.31, "caption_sound": None, "caption_scorer": "minilm (weak)"}
    assert agreement_of(row) == "agrees with picture 0.31 by minilm (weak)"
    assert agreement_of({"caption_sound": 0.5}) == "agrees with sound 0.5"
    assert agreement_of({}) == ""
