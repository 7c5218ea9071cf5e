"""Every damage of the matrix is found and named, and strict reading refuses each."""

import hashlib
import importlib
import json
import shutil
from itertools import islice

import pyarrow.parquet as pq
import pytest

from benchmarks.random_shards import make_set
from curation.files import fingerprint
from pipelines.contract import read_contract
from pipelines.shards import ShardError, read_side, side_entries
from pipelines.stream import Stream
from pipelines.verify import verify


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    make_set(folder, {5: 10, 9: 5}, per_shard=5)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "set")


def shard(folder, number=0):
    return sorted(folder.glob("*.tar"))[number]


def entries(folder):
    return side_entries(read_side(folder, shard(folder).stem))


def cut(folder, size):
    path = shard(folder)
    path.write_bytes(path.read_bytes()[:size])


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def swap(folder):
    first, second = shard(folder, 0), shard(folder, 1)
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)


def edit_contract(folder):
    contract = json.loads((folder / "contract.json").read_bytes())
    contract["shards"][0]["samples"] += 1
    (folder / "contract.json").write_text(json.dumps(contract))


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit_index(folder):
    table = pq.read_table(folder / "index.parquet")
    pq.write_table(table.slice(1), folder / "index.parquet")


DAMAGES = {
    "cut_between_members": (lambda f: cut(f, entries(f)[2].offset - 512), 3),
    "cut_between_samples": (lambda f: cut(f, entries(f)[3].json_offset - 512), 2),
    "cut_in_header": (lambda f: cut(f, entries(f)[3].offset - 100), 2),
    "cut_in_data": (lambda f: cut(f, entries(f)[4].offset + 10), 1),
    "cut_in_trailer": (lambda f: cut(f, shard(f).stat().st_size - 1), 0),
    "header_flipped": (lambda f: flip(shard(f), entries(f)[2].offset - 500), 1),
    "payload_flipped": (lambda f: flip(shard(f), entries(f)[1].offset + 300), 1),
    "changed": (lambda f: flip(shard(f), shard(f).stat().st_size - 5), 5),
    "zero_length": (lambda f: cut(f, 0), 5),
    "longer": (lambda f: shard(f).write_bytes(shard(f).read_bytes() + bytes(512)), 5),
    "missing": (lambda f: shard(f).unlink(), 5),
    "swapped": (swap, 5),
    "extra": (lambda f: shutil.copy(shard(f), f / "stranger.tar"), 0),
    "contract_edited": (edit_contract, 0),
    "contract_damaged": (lambda f: halve(f / "contract.json"), 0),
    "contract_missing": (lambda f: (f / "contract.json").unlink(), 0),
    "index_edited": (edit_index, 0),
    "index_missing": (lambda f: (f / "index.parquet").unlink(), 0),
    "side_edited": (lambda f: halve(f / f"{shard(f).stem}.json"), 0),
    "constants_edited": (lambda f: flip(f / "constants.safetensors", -1), 0),
}


def test_an_undamaged_set_is_clean(folder):
    """Catches false alarms; leftovers of a killed writer are none."""
    (folder / ".tmp-1.tar").write_bytes(b"")
    seen = []
    assert verify(folder, seen.append) == []
    assert sum(seen) == 15


@pytest.mark.parametrize("kind", DAMAGES)
def test_every_damage_is_named(folder, kind):
    """Catches damage that goes unseen or under another's name, and a wrong count of lost clips."""
    damage, lost = DAMAGES[kind]
    damage(folder)
    found = verify(folder)
    assert {d.kind for d in found} == {kind}
    assert len(found) == (2 if kind == "swapped" else 1)
    assert len(found[0].clips) == lost
    assert found[0].file in found[0].line()


# The stream reads neither side files nor strangers, and constants are not its own.
READ = [k for k in DAMAGES if k not in {"extra", "side_edited", "constants_edited"}]


@pytest.mark.parametrize("kind", READ)
def test_strict_reading_refuses(folder, kind):
    """Catches a sample of a damaged shard delivered before the error."""
    DAMAGES[kind][0](folder)
    seen = set()

    def train():
        for _, samples in islice(Stream(folder, seed=0, global_batch=1).batches(), 30):
            seen.update(s.info["number"] for s in samples)

    with pytest.raises(ShardError, match=r"16x16x|contract|index"):
        train()
    assert not seen & set(range(5)), "samples of the damaged shard"


def forge(folder, change):
    """Edit the contract as a careful stranger would, with a fitting fingerprint."""
    contract = read_contract(folder)
    change(contract)
    contract.pop("fingerprint")
    contract["fingerprint"] = fingerprint(contract)
    (folder / "contract.json").write_text(json.dumps(contract))


@pytest.mark.parametrize(
    "name", ["pipe:touch canary", "http://h/x", "../x", "{0..9}", "/etc/passwd"]
)
def test_shard_names_are_names(folder, name):
    """Catches shard lists that open anything but files of the folder."""
    forge(folder, lambda c: c["shards"][0].update(name=name))
    with pytest.raises(ShardError, match="shard name"):
        read_contract(folder)


def test_a_newer_schema_is_refused(folder):
    """Catches reading a format of the future by the rules of today."""
    forge(folder, lambda c: c.update(schema=2))
    with pytest.raises(ShardError, match="schema 2; this version reads 1"):
        read_contract(folder)


def test_extension_types_of_an_index_stay_asleep(folder):
    """Catches Arrow extension types, whose metadata has run code in other readers.

    ray.data registers its types at import, so the reader meets them as a training worker would.
    """
    importlib.import_module("ray.data")
    table = pq.read_table(folder / "index.parquet")
    field = table.schema.field("key").with_metadata(
        {b"ARROW:extension:name": b"ray.data.arrow_tensor", b"ARROW:extension:metadata": b"cos\n"}
    )
    schema = table.schema.set(table.schema.get_field_index("key"), field)
    pq.write_table(table.cast(schema), folder / "index.parquet")
    data = (folder / "index.parquet").read_bytes()
    facts = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    forge(folder, lambda c: c.update(index=facts))
    with pytest.raises(ShardError, match="Arrow schema"):
        Stream(folder, seed=0, global_batch=1)
