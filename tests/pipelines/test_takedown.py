"""A film that is taken down is gone from everywhere and stays away."""

import pytest

import pipelines.takedown as module
from pipelines.contract import find_set, read_contract, read_index
from pipelines.encode import encode
from pipelines.ledger import Ledger
from pipelines.scan import settle_known
from pipelines.storage import DataRoot
from pipelines.takedown import sources_named, take_down
from pipelines.verify import verify
from tests.encode_films import INPUTS, fill_ledger, write_films, write_vaes


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return write_films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return write_vaes(tmp_path_factory.mktemp("vaes"))


@pytest.fixture
def root(tmp_path, films, config):
    root = DataRoot(tmp_path / "data")
    rows = fill_ledger(root, films)
    other, gone = rows[0]["clip_id"], rows[-1]["clip_id"]
    scores = [{"clip_id": gone, "motion": 1.0}, {"clip_id": other, "sound_of": gone}]
    Ledger(root.ledger).append("scores/scan@scan", scores)
    encode(root, config, INPUTS)
    return root


def traces(root, source):
    """Shard files and ledger rows that hold the film's id, but for the note and its own row."""
    files = [p for p in root.path.rglob("*") if p.is_file() and "shards" in p.parts]
    found = [p for p in files if source.encode() in p.read_bytes()]
    ledger = Ledger(root.ledger)
    rows = [
        (table, row)
        for table in ledger.tables()
        if table not in ("takedown", "sources")
        for row in ledger.rows(table)
        if any(isinstance(v, str) and v.startswith(source) for v in row.values())
    ]
    return found, rows


def test_nothing_of_the_film_is_left(root):
    """Latents, captions or scores of a film that somebody asked to remove."""
    ledger = Ledger(root.ledger)
    source = next(r["source_id"] for r in ledger.rows("sources") if r["path"].endswith("2.mp4"))
    before = read_contract(find_set(root))["counts"]
    mine = sum(row["key"].startswith(source) for row in index(root))
    assert mine
    preview = root.previews / f"{source}-0-2125-look" / "clip.mp4"
    preview.parent.mkdir(parents=True)
    preview.write_bytes(source.encode())
    removed = take_down(root, [source])
    assert traces(root, source) == ([], [])
    assert not any(root.previews.iterdir())
    assert verify(find_set(root)) == []
    after = read_contract(find_set(root))["counts"]
    assert after["ok"] == before["ok"] - mine == before["ok"] - sum(removed.samples.values())
    row = next(r for r in ledger.rows("sources") if r["source_id"] == source)
    assert (row["status"], row["reason"], row["caption"]) == ("skipped", "taken_down", None)


def index(root):
    folder = find_set(root)
    return read_index(folder, read_contract(folder)).to_pylist()


def test_what_is_left_is_encoded_without_a_film(root, config, films, tmp_path):
    """A takedown that costs an encode of the whole data set."""
    source = Ledger(root.ledger).rows("sources")[0]["source_id"]
    take_down(root, [source])
    hidden = films.rename(tmp_path / "hidden")
    try:
        tally = encode(root, config, INPUTS)
    finally:
        hidden.rename(films)
    assert tally.status["failed"] == 0
    assert not any(row["key"].startswith(source) for row in index(root))


def test_a_stopped_takedown_goes_on(root, monkeypatch):
    """A kill between the shards and the contract that leaves a set which verify refuses."""
    source = next(iter({row["key"].split("-")[0] for row in index(root)}))
    with monkeypatch.context() as patch:
        patch.setattr(module, "reseal", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            take_down(root, [source])
    assert verify(find_set(root)) != []
    take_down(root, [])  # any later one finishes it
    assert traces(root, source) == ([], [])
    assert verify(find_set(root)) == []


def test_the_same_bytes_do_not_come_back(root):
    """A copy under another name that the next scan takes in."""
    ledger = Ledger(root.ledger)
    source = ledger.rows("sources")[0]["source_id"]
    take_down(root, [source])
    row = {"path": "other.mp4", "source_id": source, "status": None, "reason": None}
    settled, films = settle_known([row], {}, ledger.taken_down())
    assert films == []
    assert (settled[0]["status"], settled[0]["reason"]) == ("skipped", "taken_down")


def test_unknown_films_are_refused(root):
    """A typo that reports success."""
    with pytest.raises(ValueError, match="knows no film 'nothing"):
        sources_named(Ledger(root.ledger), ["nothing.mp4"])
    row = Ledger(root.ledger).rows("sources")[0]
    assert sources_named(Ledger(root.ledger), [row["path"]]) == {row["source_id"]: [row["path"]]}
