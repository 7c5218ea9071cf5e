"""Copies of checkpoints in an object store: a run goes on from there on another machine.

A checkpoint is first complete in the run's folder; then rank 0 copies it while training goes on,
its manifest last, so that a copy without one does not exist. A store that errs costs the copy, not
the training: the next checkpoint is copied anew.
"""

import shutil
import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from curation.files import atomic
from curation.places import Remote, folders
from curation.progress import progress, say
from curation.stores import StorageError
from jobs.config import Recipe
from jobs.training import checkpoint
from jobs.training.checkpoint import MANIFEST, MAX_JSON_BYTES, STEP_FOLDER, DamagedError
from jobs.training.log import LOG


@dataclass(frozen=True)
class Copies:
    """Where a run's checkpoints are copied to, and how many stay."""

    root: Remote
    keep: int

    def steps(self) -> list[Remote]:
        """Complete copies, oldest first. Raises StorageError."""
        found = [place for place in folders(self.root) if STEP_FOLDER.fullmatch(place.name)]
        return sorted(
            (place for place in found if (place / MANIFEST).is_file()), key=lambda p: p.name
        )

    def put(self, folder: Path, log: Path) -> None:
        """Copy a complete checkpoint and the log, then let go of old copies.

        Raises StorageError, OSError.
        """
        target = self.root / folder.name
        (target / MANIFEST).unlink(missing_ok=True)  # of another life of this run
        for path in checkpoint.files_of(folder):
            (target / path.relative_to(folder).as_posix()).upload(path)
        if log.is_file():
            (self.root / LOG).write_bytes(log.read_bytes())
        (target / MANIFEST).upload(folder / MANIFEST)
        for old in self.steps()[: -self.keep]:
            self.remove(old)

    def remove(self, copy: Remote) -> None:
        """Delete a copy; it stops being one first. Raises StorageError."""
        (copy / MANIFEST).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            copy.rmtree()

    def forget(self) -> None:
        """Delete all copies and the log. Raises StorageError."""
        for copy in self.steps():
            self.remove(copy)
        (self.root / LOG).unlink(missing_ok=True)

    def fetch(self, folder: Path, log: Path) -> Path | None:
        """Bring the newest copy that is newer than all in `folder`, verified; None without any.

        A damaged copy is passed over with a warning. Raises StorageError.
        """
        here = [path for path in checkpoint.steps(folder) if (path / MANIFEST).is_file()]
        for copy in reversed(self.steps()):
            if here and copy.name <= here[-1].name:
                return None
            try:
                fetched = self._bring(copy, folder)
            except (DamagedError, FileNotFoundError) as trouble:
                say(f"warning: {copy}: {trouble}; trying the copy before it")
                continue
            if not log.exists():
                with suppress(FileNotFoundError), atomic(log) as temp:
                    (self.root / LOG).download(temp)
            return fetched
        return None

    def _bring(self, copy: Remote, folder: Path) -> Path:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = folder / f"{checkpoint.TEMPORARY}fetched-{uuid.uuid4().hex[:8]}" / copy.name
        temporary.mkdir(mode=0o700, parents=True)
        try:
            if (copy / MANIFEST).stat().st_size > MAX_JSON_BYTES:
                raise DamagedError(f"{MANIFEST} is larger than {MAX_JSON_BYTES} bytes")
            (copy / MANIFEST).download(temporary / MANIFEST)
            names = list(checkpoint.read_manifest(temporary)["files"])
            with progress(f"fetch {copy.name}", len(names), "files") as advance:
                for name in names:
                    path = temporary / safe(name)
                    path.parent.mkdir(exist_ok=True, parents=True)
                    (copy / name).download(path)
                    advance(1)
            checkpoint.verify(temporary)
            final = folder / copy.name
            if final.exists():  # without a manifest, or it would have been used
                checkpoint.discard(final)
            temporary.rename(final)
        finally:
            shutil.rmtree(temporary.parent)
        return final


def copies_of(recipe: Recipe) -> Copies | None:
    """Where the checkpoints of a recipe are copied to: nowhere, if its data are in a folder."""
    root = recipe.data.path
    if not isinstance(root, Remote):
        return None
    return Copies(root / "runs" / recipe.name / "checkpoints", recipe.train.keep_last)


def fetch_newest(recipe: Recipe) -> None:
    """Bring a copy that is newer than what is in the recipe's folder. Raises StorageError."""
    if copies := copies_of(recipe):
        copies.fetch(recipe.out / "checkpoints", recipe.out / LOG)


def safe(name: str) -> PurePosixPath:
    """A manifest's file name, which came from a store. Raises DamagedError."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts:
        raise DamagedError(f"{MANIFEST} names {name!r}")
    return path


class Copier:
    """Rank 0's thread that copies checkpoints, one at a time."""

    def __init__(self, copies: Copies, log: Path) -> None:
        self._copies, self._log = copies, log
        self._thread: threading.Thread | None = None

    def send(self, folder: Path) -> None:
        """Begin to copy a checkpoint, after the one before."""
        self.wait()
        self._thread = threading.Thread(target=self._put, args=(folder,), name="copies")
        self._thread.start()

    def wait(self) -> None:
        """Until what was begun is over."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _put(self, folder: Path) -> None:
        try:
            self._copies.put(folder, self._log)
        except (StorageError, OSError) as error:
            say(f"warning: {folder.name} was not copied to {self._copies.root}: {error}")
