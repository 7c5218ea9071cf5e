"""A decoder that misbehaves is cut off within its limits, and the next film works."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from curation.media import Limits, MediaReader
from curation.records import Reason, RejectedError

pytestmark = pytest.mark.hostile
LIMITS = Limits(wall_s=3, cpu_s=1, memory_mb=512)
CHILD = "tests.hostile.bad_child"


def film(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(b"fLaC" + name.encode())
    return path


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("abort", Reason.DECODER_CRASH),
        ("spin", Reason.CPU_LIMIT),
        ("sleep", Reason.TIMEOUT),
        ("eat", Reason.MEMORY_LIMIT),
        ("flood", Reason.TIMEOUT),
        ("write", Reason.INTERNAL),  # EFBIG: an error of the child's own code
        ("nonsense", Reason.DECODER_CRASH),
        ("boast", Reason.DECODER_CRASH),
    ],
)
def test_bad_child_is_cut_off(name, reason, tmp_path):
    """Fails when a decoder can crash, stall or exhaust its parent, or stops the films after it."""
    # One CPU second and a full memory take longer on a busy machine.
    limits = LIMITS.model_copy(update={"wall_s": 20 if name in ("spin", "eat") else 3})
    with MediaReader(limits, child=CHILD) as reader:
        reader.probe(film(tmp_path, "good"))
        child = reader._guard.pid
        begin = time.monotonic()
        with pytest.raises(RejectedError) as refused:
            reader.probe(film(tmp_path, name))
        assert refused.value.reason == reason
        assert time.monotonic() - begin < limits.wall_s + 5
        assert not alive(child)
        assert reader.probe(film(tmp_path, "good too")).seconds == 1
        assert reader._guard.pid != child


def test_a_stalled_child_takes_its_children_along(tmp_path):
    """Fails when a process started by the decoder survives it."""
    with MediaReader(LIMITS, child=CHILD) as reader:
        grandchild = int(reader.probe(film(tmp_path, "spawn")).seconds)
        assert alive(grandchild)
        with pytest.raises(RejectedError):
            reader.probe(film(tmp_path, "good"))
        time.sleep(0.2)
        assert not alive(grandchild)


def test_worn_out_children_are_replaced(tmp_path):
    """Fails when a leak in a decoder library grows for ever."""
    with MediaReader(LIMITS.model_copy(update={"requests": 3}), child=CHILD) as reader:
        pids = set()
        for number in range(7):
            reader.probe(film(tmp_path, f"good {number}"))
            pids.add(reader._guard.pid)
        assert len(pids) == 3


@pytest.mark.parametrize("how", ["sys.exit()", "os.kill(os.getpid(), 9)", "1 / 0"])
def test_children_die_with_the_parent(how, tmp_path):
    """Fails when a killed worker leaves a decoder behind that holds memory and files."""
    code = (
        "import os, sys\n"
        "from curation.media import *\n"
        f"reader = MediaReader(Limits(), child={CHILD!r})\n"
        f"reader.probe({str(film(tmp_path, 'good'))!r})\n"
        "print(reader._guard.pid, flush=True)\n"
        f"{how}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    child = int(done.stdout)
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def test_interrupt_leaves_nothing_behind(tmp_path, monkeypatch):
    """Fails when Ctrl-C during a request leaks the child, descriptors or a late answer."""
    with MediaReader(LIMITS, child=CHILD) as reader:
        reader.probe(film(tmp_path, "good"))
        child, held = reader._guard.pid, len(list(Path("/proc/self/fd").iterdir()))

        def interrupted(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("curation.media_wire.receive", interrupted)
            with pytest.raises(KeyboardInterrupt):
                reader.probe(film(tmp_path, "other"))
        assert not alive(child)
        assert (
            len(list(Path("/proc/self/fd").iterdir())) == held - 2
        )  # the link and the child's stderr
        assert reader.probe(film(tmp_path, "good again")).seconds == 1


def test_what_earlier_films_left_is_not_blamed_on_the_next(tmp_path):
    """Fails when a film is refused because the child before it was worn out."""
    with MediaReader(LIMITS, child=CHILD) as reader:
        reader.probe(film(tmp_path, "good"))
        child = reader._guard.pid
        assert reader.probe(film(tmp_path, "second")).seconds == 1  # aborts unless it comes first
        assert reader._guard.pid != child
