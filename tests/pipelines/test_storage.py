"""Films, ledger and shards in an object store: what a local run gives, byte by byte."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path

import pytest
import torch

from curation import stores
from curation.places import folders, place
from curation.records import Reason, RejectedError
from curation.sources import find_sources, hash_source, local_copy
from curation.stores import StorageError
from pipelines import shelf
from pipelines.contract import find_set, read_contract
from pipelines.encode import encode
from pipelines.hashing import hash_rows
from pipelines.ledger import Ledger
from pipelines.retry import wanted
from pipelines.scan import new_row
from pipelines.shards import ShardError
from pipelines.storage import DataRoot
from pipelines.stream import Stream
from pipelines.takedown import take_down
from pipelines.verify import verify
from tests.encode_films import INPUTS, encoded, fill_ledger, write_films, write_vaes


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return write_films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return write_vaes(tmp_path_factory.mktemp("vaes"))


@pytest.fixture(scope="module")
def local(films, config, tmp_path_factory):
    return encoded(tmp_path_factory.mktemp("local"), films, config)


@pytest.fixture(scope="module")
def far_films(store, films):
    """The films in the store."""
    folder = place(store.uri("films/in"))
    for path in films.iterdir():
        (folder / path.name).upload(path)
    return folder


@pytest.fixture(scope="module")
def remote(store, far_films, config):
    root = DataRoot(place(store.uri("films/data")))
    fill_ledger(root, far_films)
    encode(root, config, INPUTS)
    return root


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REELMILL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/shards"


@pytest.fixture
def quick(monkeypatch):
    """Three tries within a second."""
    monkeypatch.setattr(stores, "TRIES", 3)
    monkeypatch.setattr(stores, "FIRST_WAIT_S", 0.05)


def contents(root):
    return {path.name: path.read_bytes() for path in find_set(root).iterdir()}


def by_proxy(found, store, proxy):
    """The same place by the connection that errs."""
    return place(str(found).replace(f":{store.port}&", f":{proxy.port}&"))


def test_films_are_found_by_uri(store, far_films, films, tmp_path):
    """A film whose name needs care, a pattern or a manifest that finds nothing, another id."""
    name = "a b/é #1? 100%.mp4"
    (far_films.parent / "odd" / name).upload(films / "0.mp4")
    (odd,) = find_sources([store.uri("films/odd")])
    assert hash_source(odd.path) == hash_source(str(films / "0.mp4"))
    with local_copy(odd.path) as copy:
        assert Path(copy).read_bytes() == (films / "0.mp4").read_bytes()
    found = find_sources([str(far_films)])
    assert [s.path for s in found] == [str(far_films / f"{n}.mp4") for n in range(3)]
    assert [s.bytes for s in found] == [(films / f"{n}.mp4").stat().st_size for n in range(3)]
    assert find_sources([store.uri("films/in/[01].mp4")]) == found[:2]
    assert find_sources([found[0].path]) == found[:1]
    (far_films / "list.csv").write_bytes(b"path,caption\n1.mp4,one\nnone.mp4,\n")
    listed = find_sources([str(far_films / "list.csv")])
    assert [(s.path, s.bytes, s.caption) for s in listed] == [
        (found[1].path, found[1].bytes, "one"),
        (str(far_films / "none.mp4"), -1, None),
    ]
    assert listed[0].mtime_ns == found[1].mtime_ns
    (far_films / "list.csv").unlink()
    with pytest.raises(ValueError, match="is not there"):
        find_sources([store.uri("films/nowhere")])


def test_a_film_that_cannot_be_fetched(far_films, store, proxy, quick):
    """A film behind a fault that stays ends the scan, or is not tried again by a rerun."""
    shaky = by_proxy(far_films, store, proxy)
    proxy.err(lambda method, path, number: "cut" if method == "GET" and "1.mp4" in path else None)
    rows = [new_row(source, "scan") for source in find_sources([str(shaky)])]
    done = hash_rows(rows)
    assert [row["status"] for row in done] == [None, "failed", None]
    assert done[1]["reason"] == Reason.UNREADABLE
    assert "3 tries" in done[1]["detail"]
    assert wanted(done[1] | {"attempts": 1})
    with pytest.raises(RejectedError, match="unreadable"), local_copy(rows[1]["path"]):
        pass
    proxy.err(lambda method, path, number: "503")
    with pytest.raises(StorageError, match="does not answer"):
        find_sources([str(shaky)])


def test_the_same_bytes_as_on_a_disk(local, remote):
    """Another name or byte because of where the films and the data lie."""
    assert contents(remote) == contents(local)
    assert len(list(find_set(local).glob("*.tar"))) >= 3
    here, there = Ledger(local.ledger), Ledger(remote.ledger)
    assert here.tables() == there.tables()
    table = f"artefacts/{find_set(local).name}"
    assert here.rows(table) == there.rows(table)
    assert verify(find_set(remote)) == []


def test_a_rerun_writes_nothing(remote, store, proxy, config):
    """Shards that are made or uploaded again because a listing looks otherwise."""
    encode(DataRoot(by_proxy(remote.path, store, proxy)), config, INPUTS)
    assert proxy.seen
    assert [line for line in proxy.seen if line.split()[0] not in ("GET", "HEAD")] == []
    assert [line for line in proxy.seen if line.startswith("GET") and ".tar" in line] == []


FAULTS = ("503", "drop", "cut", "lose")


@pytest.mark.slow
@pytest.mark.parametrize(
    "faults", [FAULTS, *(pytest.param((fault,), marks=pytest.mark.slow) for fault in FAULTS)]
)
def test_each_fault_gives_the_same_bytes(local, far_films, store, proxy, config, quick, faults):
    """A fault at the first of all requests that are alike leaves other rows or bytes."""
    root = DataRoot(place(store.uri(f"films/{'-'.join(faults)}", proxy.port)))
    proxy.err_once(*faults)
    fill_ledger(root, by_proxy(far_films, store, proxy))
    encode(root, config, INPUTS)
    assert contents(root) == contents(local)
    assert verify(find_set(root)) == []
    assert len(proxy.met) > 50


def test_an_outage_ends_encode_and_a_rerun_goes_on(local, remote, store, proxy, config, quick):
    """A store that is gone taken for shards that are not there, or a set that is sealed anyway."""
    root = DataRoot(by_proxy(remote.path.parent / "outage", store, proxy))
    fill_ledger(root, remote.path.parent / "in")
    tars = iter(range(100))
    proxy.err(lambda m, path, n: "503" if m != "HEAD" and ".tar" in path and next(tars) else None)
    with pytest.raises(StorageError, match="does not answer"):
        encode(root, config, INPUTS)
    (folder,) = folders(root.shards)
    assert {d.kind for d in verify(folder)} == {"contract_missing"}
    with pytest.raises(ValueError, match="no finished shard set"):
        find_set(root)
    proxy.err(lambda method, path, number: "503" if number > 3 else None)
    with pytest.raises(StorageError, match="does not answer"):
        encode(root, config, INPUTS)
    proxy.err(lambda method, path, number: None)
    encode(root, config, INPUTS)
    assert contents(root) == contents(local)


def test_training_reads_the_same_samples(local, remote, store, proxy, cache):
    """Another order, another tensor, or a shard that comes over the network in every epoch."""
    by = by_proxy(find_set(remote), store, proxy)
    streams = [Stream(find_set(local), 7, 2), Stream(by, 7, 2)]
    count = 3 * streams[0].length(0)
    for (here, a), (there, b) in islice(zip(*(s.batches() for s in streams), strict=True), count):
        assert here == there
        assert [s.clip_id for s in a] == [s.clip_id for s in b]
        assert all(torch.equal(x.video, y.video) for x, y in zip(a, b, strict=True))
    read = [line for line in proxy.seen if line.startswith("GET") and ".tar" in line]
    assert len(read) == len(set(read)) == len(list(cache.glob("*.tar")))


def test_copies_at_the_same_time_are_bounded(remote, cache, monkeypatch):
    """Copies that do not count each other, or that remove what another one is still writing."""
    monkeypatch.setattr(shelf, "SHARE", 0.0)
    found = find_set(remote)
    shards = read_contract(found)["shards"]
    assert len(shards) > 1
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(shelf.open_shard, found / f"{s['name']}.tar", s) for s in shards * 4]
    for descriptor, facts in zip((a.result() for a in asked), shards * 4, strict=True):
        with os.fdopen(descriptor, "rb") as handle:
            assert hashlib.sha256(handle.read()).hexdigest() == facts["sha256"]
    assert len(list(cache.glob("*.tar"))) == 1


def test_copies_are_checked(remote, cache):
    """A sample out of a copy that went bad."""
    stream = Stream(find_set(remote), 7, 2)
    first = [s.clip_id for _, b in islice(stream.batches(), stream.length(0)) for s in b]
    for copy in cache.glob("[!.]*.tar"):
        copy.write_bytes(b"x" * copy.stat().st_size)
    again = Stream(find_set(remote), 7, 2)
    assert [s.clip_id for _, b in islice(again.batches(), stream.length(0)) for s in b] == first
    facts = read_contract(find_set(remote))["shards"][0]
    path = find_set(remote) / f"{facts['name']}.tar"
    with pytest.raises(ShardError, match="its hash is not the contract's"):
        shelf.open_shard(path, facts | {"sha256": "0" * 64})
    with pytest.raises(ShardError, match="contract_edited"):
        shelf.open_shard(path, facts | {"sha256": "../../x"})


def test_damage_is_named_and_mended(remote, config):
    """A verify that does not look into the store."""
    path = next(find_set(remote).glob("*.tar"))
    before = path.read_bytes()
    path.write_bytes(before[:2000] + bytes([before[2000] ^ 1]) + before[2001:])
    assert [d.file for d in verify(find_set(remote))] == [path.name]
    path.unlink()
    assert [d.kind for d in verify(find_set(remote))] == ["missing"]
    encode(remote, config, INPUTS)
    assert path.read_bytes() == before
    assert verify(find_set(remote)) == []


def test_takedown(remote):
    """A film whose samples or rows stay in the store."""
    source = Ledger(remote.ledger).read("clips")["source_id"][0].as_py()
    shards = find_set(remote)
    for name in (f"{source}-film-0", "other-film-0"):
        (remote.previews / name / "clip.mp4").write_bytes(b"x")
    removed = take_down(remote, [source])
    assert [p.name for p in folders(remote.previews)] == ["other-film-0"]
    assert removed.samples[shards.name] >= 2
    assert removed.rows["clips"] == 3
    rest = (p for p in remote.path.rglob("*") if p.facts and "takedown" not in str(p))
    tables = [Ledger(remote.ledger).rows(t) for t in Ledger(remote.ledger).tables()]
    assert not any(source in str(row.get("clip_id")) for rows in tables for row in rows)
    assert not any(f"{source}-".encode() in path.read_bytes() for path in rest)
    assert verify(shards) == []


@pytest.mark.parametrize("kind", ["disk", "store"])
def test_two_drivers_lose_nothing(kind, store, tmp_path):
    """A part that one driver folds away while another writes or reads it."""
    folder = tmp_path if kind == "disk" else place(store.uri("films/two"))
    names = [[f"{driver}-{number}-1" for number in range(12)] for driver in "ab"]
    seen = []

    def drive(mine):
        ledger = Ledger(folder)
        for name in mine:
            ledger.append("verdicts/x", [{"clip_id": name, "status": "ok"}])
            ledger.compact("verdicts/x")
            seen.append(set(ledger.read("verdicts/x")["clip_id"].to_pylist()) >= {name})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(drive, names))
    ledger = Ledger(folder)
    assert all(seen)
    assert ledger.read("verdicts/x")["clip_id"].to_pylist() == sorted(chain(*names))
    ledger.compact("verdicts/x")
    assert ledger.read("verdicts/x")["clip_id"].to_pylist() == sorted(chain(*names))
