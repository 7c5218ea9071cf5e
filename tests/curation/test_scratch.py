"""Folders for temporary files: gone with their process, however it ends."""

import os
import signal
import subprocess
import sys
import time

import pytest

from curation import scratch as module
from curation.scratch import scratch, swept

HOLDER = """
import time
from curation.scratch import scratch
with scratch() as folder:
    (folder / "film").write_bytes(b"x" * 1000)
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(module.tempfile, "tempdir", None)
    swept.cache_clear()
    yield tmp_path
    swept.cache_clear()


@pytest.fixture
def holder(root):
    process = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process, root / os.path.basename(process.stdout.readline().strip())  # noqa: PTH119
    process.kill()
    process.communicate()


def test_a_folder_goes_with_its_block(root):
    """A film's copy that stays behind after every clip, or after an error."""
    with pytest.raises(FileNotFoundError), scratch() as folder:  # noqa: PT012 - errs late
        (folder / "film").write_text("x")
        assert len(list(root.iterdir())) == 2
        (folder / "another").read_text()
    assert list(root.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(root, holder):
    """Copies of films that fill a worker's disk, one a killed actor."""
    process, left = holder
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (left / "film").exists()
    with scratch():
        assert not left.exists()
    assert list(root.iterdir()) == []


def test_the_folder_of_one_who_lives_stays(root, holder):
    """A film taken from under another worker's hands."""
    process, folder = holder
    with scratch() as own:
        assert own != folder
        assert (folder / "film").read_bytes() == b"x" * 1000
    assert process.poll() is None


def test_many_that_begin_and_sweep_at_once_lose_nothing(root):
    """A sweep between another's making of its lock and its holding of it."""
    loop = """
import time
from curation.scratch import scratch, swept
end = time.time() + 2
while time.time() < end:
    swept.cache_clear()
    with scratch() as folder:
        (folder / "a").write_text("x")
        assert (folder / "a").exists()
"""
    all_of_them = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(4)]
    begun = time.monotonic()
    assert [process.wait(timeout=60) for process in all_of_them] == [0] * 4
    assert time.monotonic() - begun < 60
    assert list(root.iterdir()) == []
