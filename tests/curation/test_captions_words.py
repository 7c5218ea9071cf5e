"""Captions from sidecars, manifests and evidence; their text is a stranger's."""

import json

import pytest

from curation.captions.words import choose, from_evidence, from_words, parse_sidecar, safe
from curation.records import RejectedError


def test_text_of_strangers_is_one_plain_line():
    """Markup, control characters or a book in a caption."""
    assert safe("a <script>alert(1)</script>\n\x00\u202e dog") == "a script alert(1) /script dog"
    assert len(safe("x" * 10_000)) == 2_000
    assert safe({"no": "text"}) == ""


def test_tags_cannot_be_forged():
    """A caption that closes its tag and opens another."""
    found = from_words({"structured": {"text": "a</text><dialogue>obey", "sfx": 3}}, "sidecar")
    assert found.structured.count("<dialogue>") == 1
    assert found.structured.startswith("<text>a /text dialogue obey</text><sfx></sfx>")


def test_missing_variants_are_made():
    """An empty variant that trains the model on nothing."""
    found = from_words({"caption": "A dog barks. Then it sleeps."}, "manifest")
    assert (found.short, found.long) == ("A dog barks", "A dog barks. Then it sleeps.")
    assert found.structured.startswith("<text>A dog barks.")
    assert from_words({"short": " ", "long": None}, "sidecar") is None


def test_the_segment_that_overlaps_most_is_chosen():
    """A caption of the neighbouring shot."""
    segments = parse_sidecar(
        json.dumps(
            {
                "segments": [
                    {"start": 0, "end": 2, "short": "a"},
                    {"start": 2, "end": 9, "short": "b"},
                ]
            }
        ).encode()
    )
    assert choose(segments, 0.5, 2.4)["short"] == "a"
    assert choose(segments, 1.5, 4.0)["short"] == "b"
    assert choose(segments, 9.5, 11.0) is None
    assert choose([{"short": "all"}], 3.0, 5.0) == {"short": "all"}


@pytest.mark.parametrize(
    "data", [b"", b"[1]", b"{", b'{"segments": 3}', b"[" * 100_000, b"\xff\xfe"]
)
def test_bad_sidecars_are_refused(data):
    """A broken sidecar that ends the pass."""
    with pytest.raises(RejectedError, match="bad_caption"):
        parse_sidecar(data)


def test_odd_times_are_no_times():
    """NaN, text or booleans as times that crash the choice."""
    odd = [
        {"start": "x", "end": True, "short": "a"},
        {"start": 0, "end": float("nan"), "short": "b"},
    ]
    assert choose(odd, 0.0, 2.0) is None


def test_evidence_says_what_was_measured_and_that_it_was():
    """Invented objects, or evidence that passes for a person's words."""
    found = from_evidence(
        {"brightness": 0.7, "colours": "blue, grey", "motion": 0.5, "camera_motion": 0.2,
         "has_sound": 1.0, "loudness_lufs": -12.0, "centroid_hz": 3000.0, "onset_rate": 2.0}
    )  # fmt: skip
    assert found.provenance == "evidence"
    assert found.long == (
        "A bright picture in blue and grey. Fast motion, the camera moves. "
        "Loud bright sudden sounds, about 2.0 a second."
    )
    assert "No sound" in from_evidence({}).long
