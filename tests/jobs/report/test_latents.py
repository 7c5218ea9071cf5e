"""Round trips: what the shards hold is decoded, and compared with the same seconds of the film."""

from dataclasses import replace

import pytest

from curation.media import MediaReader
from jobs.config import make_recipe
from jobs.report.facts import Facts
from jobs.report.latents import CLIPS, round_trips
from jobs.report.media import Budget
from pipelines.contract import find_set, read_contract
from pipelines.encode import encode
from pipelines.ledger import Ledger
from tests.encode_films import INPUTS, SPANS, fill_ledger, write_films
from tests.noise_films import scanned, write_noise

SMALL = {"name": "base", "height": 32, "width": 32, "fps": 8, "frames": 17}


@pytest.fixture(scope="module")
def facts(tmp_path_factory) -> Facts:
    out = tmp_path_factory.mktemp("run")
    return encoded(out, write_films(out / "films"), SPANS)


def encoded(out, films, spans) -> Facts:
    """What a report knows of films whose clips at `spans` were encoded."""
    values = {"renditions": [SMALL], "text": ["short"], "workers": 1}
    recipe = make_recipe({"name": "small", "out": str(out), "encode": values}, "test")
    fill_ledger(recipe.data, films, spans)
    encode(recipe.data, recipe.encode, INPUTS)
    sources = Ledger(recipe.data.ledger).rows("sources")
    folder = find_set(recipe.data)
    trips = Ledger(recipe.data.ledger).rows(f"roundtrips/{folder.name}")
    contract = read_contract(folder)
    return Facts(recipe=recipe, sources=sources, contract=contract, round_trips=trips)


def look(facts: Facts):
    with MediaReader() as reader:
        return round_trips(facts, reader, Budget())


def test_what_comes_back_is_what_went_in(facts):
    """A latent compared with another clip, another second or another frame of the film."""
    found = look(facts)
    assert len(found) == CLIPS
    for trip in found:
        assert not trip.trouble
        assert trip.psnr > 30  # the film's grey rises by 24 levels a second: 1 s off is below 21
        assert trip.before.startswith("data:image/jpeg")
        assert trip.after.startswith("data:image/jpeg")
        assert (trip.mel_db is None) == (not trip.sound_after)
    assert any(trip.mel_db is not None for trip in found)
    measured = {row["clip_id"]: row for row in facts.round_trips}  # by the encode pass
    for trip in found:
        assert trip.psnr == pytest.approx(measured[trip.clip_id]["psnr_db"], abs=0.01)
        assert trip.mel_db == pytest.approx(measured[trip.clip_id]["sound_db"], abs=0.01)


def test_other_autoencoders_are_not_blamed(facts):
    """A recipe that has changed since, whose decoder makes noise of these latents."""
    other = {**facts.contract, "video_vae": {**facts.contract["video_vae"], "fingerprint": "x"}}
    (trip,) = look(replace(facts, contract=other))
    assert "another video autoencoder" in trip.trouble
    assert trip.psnr is None


def test_a_film_that_is_gone_is_said(facts):
    """One missing film that takes the section, or the report, with it."""
    gone = [row | {"path": "/nowhere/film.mp4"} for row in facts.sources]
    found = look(replace(facts, sources=gone))
    assert len(found) == CLIPS
    assert all("unreadable" in trip.trouble for trip in found)


def test_of_a_film_in_a_store_only_the_clip_is_fetched(tmp_path, store, fetched):
    """A report that copies two hours of film for two seconds, or compares others than those."""
    films = tmp_path / "films"
    films.mkdir()
    write_noise(films / "noise.mp4", {"g": "12", "bf": "2"}, "aac", 50)
    facts = encoded(tmp_path, films, ((20.0, 22.125),))
    row = scanned(store, films / "noise.mp4")
    far = replace(facts, sources=[facts.sources[0] | row])
    fetched.clear()
    (trip,) = look(far)
    assert 0 < sum(fetched) < 0.8 * row["bytes"]
    assert [trip] == look(facts)
    assert not trip.trouble
    assert trip.mel_db is not None
