"""An object store as a folder: what it answers, told apart, whatever the connection does."""

import io
import os
import pickle
import time

import pytest

from curation import places, stores
from curation.files import atomic, hash_stream, local_file, sha256_file, sweep, write_json
from curation.places import cut_options, place, remote
from curation.stores import StorageError

BIG = 11 << 20  # two requests to read, two parts to write


@pytest.fixture
def root(store, request):
    return place(store.uri(f"films/{request.node.name}"))


@pytest.fixture
def quick(monkeypatch):
    """Four tries within a second."""
    monkeypatch.setattr(stores, "TRIES", 4)
    monkeypatch.setattr(stores, "FIRST_WAIT_S", 0.05)


def test_uris():
    """An option or a key that is lost, or credentials that end in a ledger."""
    found = remote("s3://b/a b/100%.mp4?endpoint_override=h:1&scheme=http")
    assert (found.bucket, found.key, found.name) == ("b", "a b/100%.mp4", "100%.mp4")
    assert remote(str(found)) == found == pickle.loads(pickle.dumps(found))
    for key in ("a?b=c/d", "a%41#x", "é ü/[x]"):
        other = remote("s3://b") / key
        assert remote(str(other)).key == key
    assert cut_options("s3://b/film?.mp4") == ("s3://b/film?.mp4", "")
    assert str(found.parent / "x") == "s3://b/a b/x?endpoint_override=h:1&scheme=http"
    with pytest.raises(ValueError, match="credentials do not belong"):
        remote("s3://key:secret@b/x")
    with pytest.raises(ValueError, match="endpoint is no option; there are anonymous"):
        remote("s3://b/x?endpoint=h")
    with pytest.raises(ValueError, match="give a folder or one of"):
        place("hdfs://h/x")
    assert place("file:///a/b%20c") == place("/a/b c")


def test_it_is_a_folder(root):
    """Names, sizes or bytes that are not those of the same calls on a local folder."""
    assert not root.exists()
    assert list(root.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        (root / "x").read_bytes()
    with pytest.raises(FileNotFoundError):
        (root / "x").stat()
    write_json(root / "b.json", {"a": 1})
    for name in ("a b é #?%41.json", "deep/er/c.json"):
        (root / name).write_bytes(name.encode())
        assert (root / name).read_bytes() == name.encode()
    assert [p.name for p in root.iterdir()] == ["a b é #?%41.json", "b.json", "deep"]
    assert [p.name for p in root.glob("b*")] == ["b.json"]
    assert [str(p.relative_to(root)) for p in root.rglob("c.json")] == ["deep/er/c.json"]
    assert places.folders(root) == [root / "deep"]
    assert (root.is_dir(), root.is_file(), (root / "b.json").is_file()) == (True, False, True)
    assert (root / "b.json").stat() == next(root.glob("b*")).facts
    (root / "b.json").unlink()
    (root / "b.json").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        (root / "b.json").unlink()
    assert sweep(root) == 0


def test_large_files(root, tmp_path):
    """Parts in a wrong order, a last part left out, an empty object."""
    for size in (0, places.CHUNK, BIG + 1):
        data = os.urandom(size)
        (tmp_path / "x").write_bytes(data)
        with atomic(root / "x") as temp:
            temp.write_bytes(data)
        assert (root / "x").read_bytes() == data
        assert sha256_file(root / "x") == sha256_file(tmp_path / "x")
        with local_file(root / "x") as copy:
            assert copy.read_bytes() == data
        assert not copy.exists()


def test_deleted_while_it_is_read(root, monkeypatch):
    """An object that another driver removed taken for an outage, and asked for again and again."""
    monkeypatch.setattr(places, "CHUNK", 4)
    root.write_bytes(b"12345678")
    reading = root.chunks()
    assert next(reading) == b"1234"
    root.unlink()
    with pytest.raises(FileNotFoundError):
        next(reading)


def test_a_broken_writer_writes_nothing(root):
    """A half-written file under its final name."""
    with pytest.raises(FileNotFoundError), atomic(root / "x") as temp:
        (temp.write_bytes(b"half"), temp.with_name("none").read_bytes())
    assert not root.exists()


@pytest.mark.parametrize("fault", ["503", "drop", "cut", "lose"])
def test_faults_that_pass(root, proxy, store, quick, fault):
    """A fault that reaches the caller, bytes that come twice or not at all, or a silent half."""
    data = os.urandom(BIG)
    shaky = place(store.uri("films/" + root.key, proxy.port)) / "x"
    proxy.err_once(fault)
    shaky.write_bytes(data)
    with shaky.open() as handle, (root / "x").open() as plain:
        assert hash_stream(handle) == hash_stream(plain) == hash_stream(io.BytesIO(data))
    assert [p.name for p in shaky.parent.iterdir()] == ["x"]
    assert shaky.stat() == (root / "x").stat()
    assert len(proxy.met) >= 5, proxy.met
    assert {line.split()[1] for line in proxy.met} >= {"GET", "PUT"}


def test_a_slow_store(root, proxy, store, quick, monkeypatch):
    """A pause of 4 s taken for an outage, as the client does; a silence that is waited out."""
    (root / "x").write_bytes(b"1")
    shaky = place(store.uri("films/" + root.key, proxy.port)) / "x"
    proxy.err_once(4.0)
    assert shaky.exists()
    assert len(proxy.seen) == 1
    monkeypatch.setattr(stores, "SILENCE_S", 1.0)
    stores.filesystem.cache_clear()
    proxy.err_once(30.0)
    begun = time.monotonic()
    assert shaky.exists()
    assert len(proxy.seen) == 2
    assert time.monotonic() - begun < 15
    stores.filesystem.cache_clear()


def test_a_fault_that_stays(root, proxy, store, quick, monkeypatch):
    """An outage that looks like an empty folder, an endless wait, or half an object left behind."""
    monkeypatch.setattr(stores, "TRIES", 2)
    (root / "x").write_bytes(b"old")
    shaky = place(store.uri("films/" + root.key, proxy.port))
    proxy.err(lambda method, path, number: "503")
    for call in (shaky.exists, lambda: list(shaky.iterdir())):
        with pytest.raises(StorageError, match="the store does not answer \\(2 tries") as told:
            call()
        assert told.value.kind == "unreachable"
    # The second part never arrives: nothing must be there but what was.
    proxy.err(lambda method, path, number: "503" if "partNumber=2" in path else None)
    with pytest.raises(StorageError, match="does not answer"):
        (shaky / "x").write_bytes(os.urandom(BIG))
    assert any("partNumber=1" in line for line in proxy.seen)
    assert (root / "x").read_bytes() == b"old"
    monkeypatch.setattr(stores, "PATIENCE_S", 0.0)
    proxy.err(lambda method, path, number: "drop")
    with pytest.raises(StorageError, match="1 tries"):
        shaky.exists()


def test_faults_of_the_request(store, quick, monkeypatch):
    """A wrong bucket, key or address that is taken for an empty folder, or without a cure."""
    place(store.uri("films")).check()
    with pytest.raises(StorageError, match="no such bucket") as told:
        place(store.uri("none/x")).check()
    assert told.value.kind == "no_bucket"
    with pytest.raises(StorageError, match="endpoint_override"):
        place(store.uri("films/x", 1)).check()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    stores.filesystem.cache_clear()
    try:
        with pytest.raises(StorageError, match="AWS_SECRET_ACCESS_KEY") as told:
            place(store.uri("films/x")).check()
        assert told.value.kind == "denied"
        assert pickle.loads(pickle.dumps(told.value)).kind == "denied"
    finally:
        stores.filesystem.cache_clear()
