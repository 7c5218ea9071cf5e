"""A checkpoint is complete or is not one."""

import json
import os
import signal
import time

import pytest

from jobs.training import checkpoint
from jobs.training.checkpoint import CheckpointError, DamagedError

FILES = {
    "state/rank-00000.safetensors": b"shard of rank 0" * 50,
    "state/rank-00001.safetensors": b"shard of rank 1" * 50,
    "ema.safetensors": b"weights" * 30,
    "trainer.json": b'{"counters": {}}',
}


def put(folder, step, keep=3):
    def write(temporary):
        (temporary / "state").mkdir()
        for name, data in FILES.items():
            (temporary / name).write_bytes(data + str(step).encode() * 3)

    return checkpoint.commit(folder, step, write, keep)


def test_newest_is_the_last_committed(tmp_path):
    """Catches a reader that sorts steps as text or takes a temporary folder."""
    assert checkpoint.newest(tmp_path) is None
    for step in (90, 100):
        put(tmp_path, step)
    (tmp_path / ".tmp-step-00000200-x").mkdir()
    assert checkpoint.newest(tmp_path).name == "step-00000100"
    assert checkpoint.sweep(tmp_path) == 1


def truncate(path):
    path.write_bytes(path.read_bytes()[:-2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def empty(path):
    path.write_bytes(b"")


def delete(path):
    path.unlink()


def link(path):
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


@pytest.mark.parametrize("damage", [truncate, flip, zero, empty, delete, link])
@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_damage_is_found_and_passed_over_once(tmp_path, capfd, name, damage):
    """Catches bytes that are read unchecked, and a run that starts again at 0."""
    old, new = put(tmp_path, 10), put(tmp_path, 20)
    damage(new / name)
    with pytest.raises(DamagedError, match=str(new)):
        checkpoint.verify(new)
    assert checkpoint.newest(tmp_path) == old
    assert capfd.readouterr().err.count("warning") == 1
    damage(old / name)
    with pytest.raises(CheckpointError, match="no complete checkpoint"):
        checkpoint.newest(tmp_path)


def test_added_or_renamed_is_damage(tmp_path):
    """Catches a foreign file beside ours, and a folder that claims another step."""
    path = put(tmp_path, 10)
    (path / "state" / "rank-00002.safetensors").write_bytes(b"foreign")
    with pytest.raises(DamagedError, match="unknown"):
        checkpoint.verify(path)
    (path / "state" / "rank-00002.safetensors").unlink()
    moved = path.rename(tmp_path / "step-00000030")
    with pytest.raises(DamagedError, match="holds step 10"):
        checkpoint.verify(moved)


def test_edited_manifest_is_damage(tmp_path):
    """Catches a manifest whose world or list was changed without its own digest."""
    path = put(tmp_path, 10)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["world"] = 7
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DamagedError, match="manifest"):
        checkpoint.verify(path)


def test_retention_keeps_complete_ones(tmp_path):
    """Catches a damaged newer folder that makes retention delete the only good one."""
    for step in (10, 20, 30):
        put(tmp_path, step, keep=2)
    assert [p.name[-2:] for p in checkpoint.steps(tmp_path)] == ["20", "30"]
    flip(tmp_path / "step-00000030" / "ema.safetensors")
    assert checkpoint.step_of(checkpoint.newest(tmp_path)) == 20
    put(tmp_path, 25, keep=1)
    assert [p.name[-2:] for p in checkpoint.steps(tmp_path)] == ["25"]
    assert checkpoint.step_of(checkpoint.newest(tmp_path)) == 25


@pytest.mark.parametrize("moment", range(8))
def test_kill_at_any_moment_leaves_a_complete_one(tmp_path, moment):
    """Catches a commit in the wrong order: a child saving without pause is killed at some time."""
    put(tmp_path, 1)
    child = os.fork()
    if child == 0:
        step = 1
        while True:
            step += 1
            put(tmp_path, step, keep=1)
    time.sleep(0.02 + 0.017 * moment)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert all((found / name).is_file() for name in FILES)
    checkpoint.sweep(tmp_path)
    assert all(path.name.startswith("step-") for path in tmp_path.iterdir())


def test_failed_write_is_no_checkpoint(tmp_path):
    """Catches a full disk that leaves half a folder under a final name."""
    put(tmp_path, 10)

    def write(temporary):
        (temporary / "a").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        checkpoint.commit(tmp_path, 20, write, 2)
    assert checkpoint.step_of(checkpoint.newest(tmp_path)) == 10


def test_ranks_share_out_what_is_hashed(monkeypatch, tmp_path):
    """A file that nobody hashes, that two hash, or one rank that hashes while the others wait."""
    files = [(size, tmp_path / f"{n}.bin") for n, size in enumerate((900, 500, 400, 30, 20, 10, 0))]
    monkeypatch.setattr(checkpoint.ranks, "world", lambda: 3)
    shared = []
    for rank in range(3):
        monkeypatch.setattr(checkpoint.ranks, "rank", lambda rank=rank: rank)
        shared.append(checkpoint.share(files))
    assert sorted(path for own in shared for path in own) == sorted(path for _, path in files)
    sizes = {path: size for size, path in files}
    assert max(sum(sizes[path] for path in own) for own in shared) == 900
