"""A changed policy copies what an earlier shard set holds."""

import shutil
from dataclasses import replace

import pytest

from pipelines.contract import find_set, read_contract, read_index
from pipelines.encode import encode
from pipelines.ledger import Ledger
from pipelines.storage import DataRoot
from pipelines.verify import verify
from tests.encode_films import INPUTS, fill_ledger, write_films, write_vaes

STRICTER = replace(INPUTS, verdicts="stricter")


@pytest.fixture
def films(tmp_path):
    (tmp_path / "films").mkdir()
    return write_films(tmp_path / "films")


@pytest.fixture
def config(tmp_path):
    (tmp_path / "vaes").mkdir()
    return write_vaes(tmp_path / "vaes")


@pytest.fixture
def root(tmp_path, films, config):
    """One sealed set, and a second policy that keeps every other clip of it."""
    root = DataRoot(tmp_path / "data")
    rows = fill_ledger(root, films)
    encode(root, config, INPUTS)
    kept = [{"clip_id": row["clip_id"], "status": "ok"} for row in rows[::2]]
    Ledger(root.ledger).append("verdicts/stricter", kept)
    return root


def samples(folder):
    """Bytes of every sample by clip."""
    table = read_index(folder, read_contract(folder)).to_pylist()
    return {
        e["key"]: (folder / f"{e['shard']}.tar").read_bytes()[
            e["json_offset"] : e["offset"] + e["size"]
        ]
        for e in table
    }


def test_a_changed_policy_needs_no_film(root, config, films):
    """A new threshold that decodes and encodes all films again."""
    before = samples(find_set(root))
    shutil.rmtree(films)
    tally = encode(root, config, STRICTER)
    after = samples(find_set(root))
    assert (tally.total, tally.status["ok"]) == (5, 5)
    assert len(after) == 5
    assert all(before[key] == data for key, data in after.items())
    assert verify(find_set(root)) == []


def test_a_new_caption_is_not_answered_with_the_old_sample(root, config):
    """Reuse that looks at ids only and keeps yesterday's text."""
    ledger = Ledger(root.ledger)
    clip = ledger.rows("verdicts/stricter")[0]["clip_id"]
    ledger.append("scores/caption@caption", [{"clip_id": clip, "short": "other words"}])
    before = samples(find_set(root))
    encode(root, config, STRICTER)
    after = samples(find_set(root))
    assert b"other words" in after[clip]
    assert [key for key in after if after[key] != before[key]] == [clip]


def test_a_crop_is_not_answered_with_the_sample_that_has_bars(root, config):
    """Reuse of what was encoded before bars were cropped."""
    ledger = Ledger(root.ledger)
    clip = ledger.rows("verdicts/stricter")[0]["clip_id"]
    ledger.append("scores/scan@scan", [{"clip_id": clip, "bar_left": 0.25, "bar_right": 0.2}])
    before = samples(find_set(root))
    encode(root, config, STRICTER)
    after = samples(find_set(root))
    assert b'"crop"' in after[clip]
    assert [key for key in after if after[key] != before[key]] == [clip]
    assert verify(find_set(root)) == []


def test_a_damaged_earlier_sample_is_made_anew(root, config):
    """Bit rot that spreads from set to set."""
    folder = find_set(root)
    whole = samples(folder)
    entry = next(
        e
        for e in read_index(folder, read_contract(folder)).to_pylist()
        if e["key"] == Ledger(root.ledger).rows("verdicts/stricter")[0]["clip_id"]
    )
    path = folder / f"{entry['shard']}.tar"
    data = bytearray(path.read_bytes())
    data[entry["offset"] + entry["size"] - 1] ^= 1
    path.write_bytes(data)
    encode(root, config, STRICTER)
    after = samples(find_set(root))
    assert all(whole[key] == sample for key, sample in after.items())


def test_other_settings_share_nothing(root, config, films):
    """A set of other renditions or networks taken for the same."""
    shutil.rmtree(films)
    small = config.renditions[0].model_copy(update={"fps": 4.0})
    tally = encode(root, config.model_copy(update={"renditions": (small,)}), STRICTER)
    assert tally.status["ok"] == 0
    assert tally.reasons == {"unreadable": 3, "too_short": 2}
