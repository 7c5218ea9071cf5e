"""Shards: same bytes for the same clips, whole or absent, readable by webdataset, never code."""

import io
import json
import os
import tarfile

import pytest
import safetensors.torch
import torch
import webdataset

from benchmarks.random_shards import encoded, geometry, make_set
from curation.files import sweep
from pipelines.contract import read_contract, read_index
from pipelines.shards import (
    MAX_HEADER_BYTES,
    Entry,
    Failure,
    ShardError,
    pack,
    read_sample,
    read_side,
    side_entries,
    unpack,
    walk,
    write_shard,
)

SHAPE = geometry(5, 16, 4)


def clips(count):
    return [encoded(n, SHAPE, "train", 12) for n in range(count)]


def test_webdataset_reads_them(tmp_path):
    """Catches a layout of our own: the plain reader must see every sample with both members."""
    write_shard(tmp_path, "a", clips(6))
    samples = list(webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False))
    assert [s["__key__"] for s in samples] == [c.clip_id for c in clips(6)]
    for sample, clip in zip(samples, clips(6), strict=True):
        assert json.loads(sample["json"]) == clip.info
        tensors = safetensors.torch.load(sample["safetensors"])
        assert set(tensors) == set(clip.tensors)
        assert all(torch.equal(tensors[n], t) for n, t in clip.tensors.items())


def test_read_by_offset(tmp_path):
    """Catches offsets that are off by a header."""
    side = write_shard(tmp_path, "a", [*clips(3), Failure("x", "corrupt", "d"), *clips(6)[3:]])
    assert side["failures"] == [{"clip_id": "x", "reason": "corrupt", "detail": "d", "attempts": 1}]
    with (tmp_path / "a.tar").open("rb") as handle:
        for entry, clip in reversed(list(zip(side_entries(side), clips(6), strict=True))):
            info, tensors = read_sample(handle.fileno(), entry)
            assert info == clip.info
            assert all(torch.equal(tensors[n], t) for n, t in clip.tensors.items())


def test_same_clips_same_bytes(tmp_path, monkeypatch):
    """Catches times, owners or dictionary order in the bytes, of shards, index and contract."""
    first, second = tmp_path / "1", tmp_path / "2"
    make_set(first, {5: 9, 9: 3})
    monkeypatch.setattr("time.time", lambda: 1e9)
    make_set(second, {5: 9, 9: 3})
    names = sorted(p.name for p in first.iterdir())
    assert names == sorted(p.name for p in second.iterdir())
    assert all((first / n).read_bytes() == (second / n).read_bytes() for n in names)


def test_a_broken_producer_commits_nothing(tmp_path):
    """Catches webdataset's own habit of closing a part of a shard under its final name."""

    def breaking():
        yield from clips(3)
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        write_shard(tmp_path, "a", breaking())
    assert list(tmp_path.iterdir()) == []
    assert read_side(tmp_path, "a") is None


def test_committed_only_with_its_side_file(tmp_path):
    """Catches a shard counted as done between its rename and its side file, or cut afterwards."""
    write_shard(tmp_path, "a", clips(3))
    assert read_side(tmp_path, "a") is not None
    path = tmp_path / "a.tar"
    path.write_bytes(path.read_bytes()[:-1])
    assert read_side(tmp_path, "a") is None
    write_shard(tmp_path, "a", clips(3))
    side = (tmp_path / "a.json").read_bytes()
    (tmp_path / "a.json").write_bytes(side[: len(side) // 2])
    assert read_side(tmp_path, "a") is None
    (tmp_path / ".tmp-1.tar").write_bytes(b"left by a killed writer")
    assert sweep(tmp_path) == 1


def test_no_sample_no_tar(tmp_path):
    """Catches an empty tar, which webdataset refuses, where every clip of a shard failed."""
    write_shard(tmp_path, "a", [Failure("x", "corrupt", "d")])
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert read_side(tmp_path, "a") is not None


def refused(tmp_path, name, kind=tarfile.REGTYPE, **header):
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, 4 if kind == tarfile.REGTYPE else 0
        for field, value in header.items():
            setattr(info, field, value)
        tar.addfile(info, io.BytesIO(b"bad!"))
    with pytest.raises(ShardError) as error:
        list(walk(path))
    return error.value.kind


@pytest.mark.parametrize(
    "name",
    [
        "k.pyd",
        "k.pkl",
        "k.PTH",
        "k.npy",
        "k.json.pkl",
        "k.v1.json",
        "../../evil.json",
        "/etc/x.json",
        "k\n.json",
        ".json",
        "a" * 120 + ".json",  # a long name becomes a pax record
        "é.json",
    ],
)
def test_foreign_names_are_refused(tmp_path, name):
    """Catches members that run code on decode, leave the folder or merge keys."""
    assert refused(tmp_path, name) in {"foreign_member", "header"}


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_foreign_types_are_refused(tmp_path, kind):
    """Catches links and devices under an innocent name."""
    assert refused(tmp_path, "k.json", kind, linkname="/etc/passwd") == "foreign_member"


def test_a_huge_record_is_not_read(tmp_path):
    """Catches reading a 1 TB member that a header claims."""
    path = tmp_path / "evil.tar"
    info = tarfile.TarInfo("k.json")
    info.size = 1 << 40
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(ShardError, match="past the end"):
        list(walk(path))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"audio": torch.tensor([[1.0, float("nan")]]).half()}, "audio: there are values"),
        ({"audio": torch.tensor([[0, float("-inf")]]).half()}, "not finite"),
        ({"audio": torch.zeros(1, 2)}, "float32, not float16"),
        ({"weights": torch.zeros(2).half()}, "name 'weights' is not allowed"),
        ({"audio": torch.zeros(2, 3).half()}, r"shape \(2, 3\), not \(1, 2\)"),
        ({"text.short": torch.zeros(2, 3).half()}, r"shape \(2, 3\), not \(None, 4\)"),
        ({"text.short": torch.zeros(2).half()}, r"shape \(2,\), not \(None, 4\)"),
        ({f"reference.{i}.video": torch.zeros(1).half() for i in range(65)}, "at most 64"),
    ],
)
def test_bad_tensors_are_refused(tensors, message):
    """Catches NaN latents, foreign names and wrong shapes before they reach a model."""
    data = safetensors.torch.save(tensors)
    with pytest.raises(ValueError, match=message):
        unpack(data, {"audio": (1, 2), "text.short": (None, 4)})
    if "shape" not in message:  # what a reader knows but a writer does not
        with pytest.raises(ValueError, match=message):
            pack(tensors)


def test_every_bit_pattern_is_judged():
    """Catches a finite check on raw bits that disagrees with torch for any of the 65,536 values."""
    every = torch.arange(-32768, 32768, dtype=torch.int32).to(torch.int16).view(torch.float16)
    finite = every[torch.isfinite(every)]
    assert len(pack({"audio": finite})) > 2 * 63_488
    for value in every[~torch.isfinite(every)][::64]:
        with pytest.raises(ValueError, match="not finite"):
            pack({"audio": value[None]})


def test_large_headers_are_refused():
    """Catches safetensors' own 100 MB header allowance, and a header longer than the file."""
    for size in (MAX_HEADER_BYTES + 1, 1 << 60):
        with pytest.raises(ValueError, match="header of"):
            unpack(size.to_bytes(8, "little") + bytes(MAX_HEADER_BYTES + 10), {})
    with pytest.raises(ValueError, match="not safetensors"):
        unpack((2).to_bytes(8, "little") + b"[]", {})
    with pytest.raises(ValueError, match="header of"):
        unpack(b"abc", {})


def test_a_sample_of_another_clip_is_refused(tmp_path):
    """Catches an index whose offsets point at a neighbour."""
    first, second = side_entries(write_shard(tmp_path, "a", clips(2)))
    mixed = Entry(**{**vars(first), "key": second.key})
    descriptor = os.open(tmp_path / "a.tar", os.O_RDONLY)
    try:
        with pytest.raises(ShardError, match=f"a: sample at clip {second.key}: the json is of"):
            read_sample(descriptor, mixed)
        with pytest.raises(ShardError, match="cut"):
            read_sample(descriptor, Entry(**{**vars(second), "size": 1 << 20}))
        with pytest.raises(ShardError, match="offsets"):
            read_sample(descriptor, Entry(**{**vars(second), "json_offset": -1}))
    finally:
        os.close(descriptor)


def test_wrong_names_are_our_error(tmp_path):
    """Catches keys that webdataset would cut at the dot, and shard names that leave the folder."""
    clip = clips(1)[0]
    dotted = type(clip)(**{**vars(clip), "clip_id": "a.b"})
    with pytest.raises(ValueError, match="must match"):
        write_shard(tmp_path, "a", [dotted])
    with pytest.raises(ValueError, match="must match"):
        write_shard(tmp_path, "../a", clips(1))
    assert list(tmp_path.iterdir()) == []


def test_the_index_is_plain_parquet(tmp_path):
    """Catches extension types in the index, which have run code in other readers."""
    contract = make_set(tmp_path, {5: 3})
    table = read_index(tmp_path, contract)
    assert table.column("key").to_pylist() == [encoded(n, SHAPE, "", 12).clip_id for n in range(3)]
    assert read_contract(tmp_path) == json.loads(json.dumps(contract))
