"""Copies of checkpoints in an object store: the same run on another machine."""

import json
import shutil
from dataclasses import replace

import pytest

from curation import stores
from curation.places import place
from jobs.config import Recipe
from jobs.training import checkpoint
from jobs.training.checkpoint import MANIFEST, DamagedError
from jobs.training.copies import Copies, copies_of, safe
from jobs.training.log import LOG

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def quick(monkeypatch):
    """Two tries within a second."""
    monkeypatch.setattr(stores, "TRIES", 2)
    monkeypatch.setattr(stores, "FIRST_WAIT_S", 0.05)


@pytest.fixture
def job(tiny, shards, store, tmp_path):
    """Eight steps, a checkpoint every second, of which three stay in the store."""
    made = tiny(tmp_path / "run", shards, checkpoint_every=2)
    root = place(store.uri(f"films/runs/{tmp_path.name}"))
    return replace(made, copies=Copies(root, 3))


@pytest.fixture(scope="module")
def whole(tiny, shards, train_alone, facts, tmp_path_factory):
    """The log of the run that nothing befell."""
    return facts(train_alone(tiny(tmp_path_factory.mktemp("whole"), shards, checkpoint_every=2)))


def test_another_machine_goes_on(job, whole, killed_at, train_alone, facts):
    """A run that is lost with its machine, starts over, or goes on with other losses or log."""
    killed_at(job, 7)
    shutil.rmtree(job.out)
    fetched = job.copies.fetch(job.folder, job.log)
    assert fetched == job.folder / "step-00000006"
    assert job.copies.fetch(job.folder, job.log) is None, "nothing newer is there"
    assert facts(train_alone(job)) == whole
    assert [copy.name for copy in job.copies.steps()] == [f"step-0000000{n}" for n in (4, 6, 8)]


def test_what_is_damaged_or_unfinished_is_no_copy(job, train_alone, capsys):
    """A copy that was cut off while it was made, or changed since, and is trained from."""
    train_alone(job)
    shutil.rmtree(job.out)
    newest, before, oldest = reversed(job.copies.steps())
    (newest / MANIFEST).unlink()
    weights = before / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert job.copies.fetch(job.folder, job.log) == job.folder / oldest.name
    assert "model.safetensors does not match its hash" in capsys.readouterr().err
    assert [path.name for path in job.folder.iterdir()] == [oldest.name]
    assert (job.folder / oldest.name / MANIFEST).is_file()


def test_an_outage_costs_the_copy_only(job, whole, killed_at, train_alone, facts, store, quick):
    """A store that is away and stops the training, or copies that do not come back with it."""
    away = place(str(job.copies.root).replace(f":{store.port}&", ":9&"))
    killed_at(replace(job, copies=Copies(away, 3)), 5)
    assert job.copies.steps() == []
    assert facts(train_alone(job)) == whole
    assert [copy.name for copy in job.copies.steps()] == ["step-00000006", "step-00000008"]


def test_starting_over_forgets_the_copies(job, train_alone):
    """A run that was begun anew and continues the old one on the next machine."""
    train_alone(job)
    job.copies.forget()
    assert job.copies.steps() == []
    assert not (job.copies.root / LOG).is_file()
    shutil.rmtree(job.out)
    assert job.copies.fetch(job.folder, job.log) is None


def test_a_folder_has_no_copies(tmp_path):
    """Uploads nobody asked for."""
    assert copies_of(Recipe(name="a", out=tmp_path)) is None
    far = copies_of(Recipe(name="a", out=tmp_path, storage="s3://b/c?region=x"))
    assert str(far.root) == "s3://b/c/runs/a/checkpoints?region=x"


@pytest.mark.parametrize("name", ["../model.json", "/etc/passwd", "", "a/../../b"])
def test_names_from_a_store_stay_inside(name):
    """A manifest in the store that writes elsewhere on this machine."""
    with pytest.raises(DamagedError, match="names"):
        safe(name)


def test_a_manifest_of_a_store_is_checked_before_its_files(job, train_alone):
    """Files that are fetched because an edited manifest lists them."""
    train_alone(job)
    shutil.rmtree(job.out)
    for copy in job.copies.steps():
        manifest = json.loads((copy / MANIFEST).read_bytes())
        manifest["files"]["../../evil"] = {"bytes": 1, "sha256": "0" * 64}
        (copy / MANIFEST).write_bytes(json.dumps(manifest).encode())
    assert job.copies.fetch(job.folder, job.log) is None
    assert checkpoint.newest(job.folder) is None
