"""Finding films in folders, by patterns, in manifests, through Arrow filesystems."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.records import RejectedError
from curation.sources import beside, find_sources, hash_source, local_copy


@pytest.fixture
def folder(tmp_path):
    for name in ("b.mp4", "deep/a.MKV", "deep/note.txt", ".hidden.mp4", "a b\n<i>.mp4", "-rf.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache/c.mp4").write_bytes(b"x")
    return tmp_path


def names(found, folder):
    return [os.path.relpath(s.path, folder) for s in found]


def test_folders_are_searched_to_the_bottom_in_one_order(folder):
    """Films of inner folders left out, caches taken in, an order that differs between machines."""
    found = find_sources([str(folder)])
    assert names(found, folder) == ["-rf.mp4", "a b\n<i>.mp4", "b.mp4", "deep/a.MKV"]
    assert all(s.bytes > 0 and s.mtime_ns > 0 for s in found)
    assert find_sources([str(folder), str(folder / "*.mp4"), str(folder / "b.mp4")])[2] == found[2]


def test_patterns(folder):
    """A pattern that is taken for a file name."""
    assert names(find_sources([f"{folder}/**/*.MKV"]), folder) == ["deep/a.MKV"]
    assert find_sources([f"{folder}/*.nothing"]) == []


def test_what_is_not_there_is_an_error(folder):
    """A typo in a path that ends as an empty data set."""
    with pytest.raises(ValueError, match="is not there"):
        find_sources([str(folder / "missing")])


def test_manifests_carry_captions_and_licence(folder):
    """Captions that lose their film, or a missing film that vanishes instead of failing."""
    rows = 'path,captions,licence\nb.mp4,"a dog, barking\nloud",CC-BY\ngone.mp4,,\n'
    (folder / "list.csv").write_text(rows)
    found = find_sources([str(folder / "list.csv")])
    assert [(s.caption, s.licence, s.bytes) for s in found] == [
        ("a dog, barking\nloud", "CC-BY", 5),
        (None, None, -1),
    ]
    with pytest.raises(RejectedError, match="unreadable"):
        hash_source(found[1].path)
    pq.write_table(pa.table({"path": ["b.mp4"], "caption": ["x"]}), folder / "list.parquet")
    assert find_sources([str(folder / "list.parquet")])[0].caption == "x"
    (folder / "bad.csv").write_text("file\nb.mp4\n")
    with pytest.raises(ValueError, match="no `path` column"):
        find_sources([str(folder / "bad.csv")])


def test_arrow_filesystems(folder):
    """The seam to object stores: listing, patterns, hashing and copying through a URI."""
    found = find_sources([f"file://{folder}/deep"])
    assert [s.path for s in found] == [f"file://{folder}/deep/a.MKV"]
    assert [s.path for s in find_sources([f"file://{folder}/b*.mp4"])] == [f"file://{folder}/b.mp4"]
    assert hash_source(found[0].path) == hash_source(str(folder / "deep/a.MKV"))
    with local_copy(found[0].path) as path:
        assert Path(path).read_bytes() == b"deep/a.MKV"
    assert not Path(path).exists()


def test_hashing_refuses_what_is_no_file(folder):
    """A named pipe that hangs the scan, or an empty file that gets an id."""
    os.mkfifo(folder / "pipe.mp4")
    (folder / "empty.mp4").touch()
    for name, reason in (
        ("pipe.mp4", "unreadable"),
        ("empty.mp4", "empty"),
        ("gone.mp4", "unreadable"),
    ):
        with pytest.raises(RejectedError, match=reason):
            hash_source(str(folder / name))


def test_what_lies_beside_a_film():
    """The sidecar of `a.b.mp4`, of a film whose folder has a dot, or of one under a URI."""
    assert beside("/x.y/a.b.mp4", ".captions.json") == "/x.y/a.b.captions.json"
    assert beside("film.mp4", ".captions.json") == "film.captions.json"
    assert beside("s3://k/v/film.mp4", ".captions.json") == "s3://k/v/film.captions.json"
    uri = "s3://k/v/f.mp4?endpoint_override=http://h:1"
    assert beside(uri, ".json") == "s3://k/v/f.json?endpoint_override=http://h:1"
