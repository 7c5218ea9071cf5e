"""A whole scan over a folder of hostile films: every one has its row, and the rest goes on."""

import os

import pytest

from curation.media import Limits
from pipelines.ledger import Ledger
from pipelines.scan import scan
from pipelines.scan_config import ScanConfig, WindowConfig
from tests.hostile.folder import OK, hostile_folder

pytestmark = pytest.mark.hostile


@pytest.fixture(scope="module")
def scanned(tmp_path_factory, local_ray):
    folder = tmp_path_factory.mktemp("hostile") / "films"
    expected = hostile_folder(folder)
    config = ScanConfig(
        sources=[f"{folder}/*"],
        window=WindowConfig(fps=8, min_s=1, max_s=2),
        limits=Limits(wall_s=30, cpu_s=15, memory_mb=1024),
    )
    ledger = Ledger(tmp_path_factory.mktemp("scan"))
    return folder, expected, config, ledger, scan(config, ledger)


def test_every_row_is_accounted_for(scanned):
    """A hostile film that crashes the scan, vanishes, or passes under another reason."""
    folder, expected, _, ledger, tally = scanned
    rows = {row["path"].removeprefix(f"{folder}/"): row for row in ledger.rows("sources")}
    wanted = {  # a pattern takes neither hidden files nor folders, whatever they are called
        name: reason
        for name, reason in expected.items()
        if not name.startswith(".") and not (folder / name).is_dir()
    }
    names = {name: name.encode("utf-8", "backslashreplace").decode() for name in wanted}
    assert set(rows) == set(names.values())
    assert sum(tally.status.values()) == tally.total == len(rows)
    wrong = {
        name: (reason, row["status"], row["reason"])
        for name, reason in wanted.items()
        if not agrees(row := rows[names[name]], reason, escaped=names[name] != name)
    }
    assert not wrong


def agrees(row, reason, *, escaped):
    """Whether a row is what the folder promises. Copies of one film are one film."""
    if escaped:
        return row["reason"] == "unreadable"
    if reason == "no_audio":  # a pass over the films keeps it; the policy asks for sound
        return row["status"] == "ok"
    if reason == OK:
        return row["status"] in ("ok", "filtered") or row["reason"] == "duplicate"
    return row["status"] == "failed" and row["reason"] == reason


def test_rows_are_plain_short_text(scanned):
    """A detail that carries a stranger's text, or a book of it, into reports."""
    _, _, _, ledger, _ = scanned
    for row in ledger.rows("sources"):
        detail = row["detail"] or ""
        assert len(detail) <= 500
        assert detail.isprintable()


def test_nothing_was_made_beside_the_films(scanned):
    """A name that was run as a command, or a file that was written through one."""
    folder, expected, *_ = scanned
    assert {os.fsencode(p.name) for p in folder.iterdir()} == {os.fsencode(n) for n in expected}
    assert not any(p.name == "canary" for p in folder.parent.rglob("*"))
