"""A child process that may crash, spin, sleep or eat memory without harm to its parent."""

import contextlib
import fcntl
import math
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

from curation import media_wire
from curation.records import Reason, RejectedError

ROOT = Path(__file__).resolve().parent.parent
STDERR_BYTES = 64 << 10
DESCRIPTORS = 64
REPLY_BYTES = 1 << 20
GRACE_S = 0.5  # a child told to end by a closed link gets this long before SIGKILL
OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "annot allocate memory", "alloc failed")


class Guard:
    """One child process of `python -m module`, started when needed and replaced after trouble."""

    def __init__(self, module: str, memory_mb: int, requests: int) -> None:
        self.module, self.memory_mb, self.requests = module, memory_mb, requests
        self.served = 0
        self.generation = 0  # counts children; whoever caches what the child holds compares it
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._errors = -1
        self._finalizer: Any = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Process id of the living child."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def ready(self) -> int:
        """Make sure that a child lives and is not worn out; return its generation."""
        if self.pid is None or self.served >= self.requests:
            self.close()
            self._start()
        return self.generation

    def ask(
        self,
        message: dict[str, Any],
        wall_s: float,
        cpu_s: float,
        descriptors: tuple[int, ...] = (),
    ) -> dict[str, Any]:
        """The child's reply. Raises RejectedError; if that ended the child, a new one follows."""
        with self._lock:
            if self._link is None or self._process is None:
                raise RejectedError(Reason.DECODER_CRASH, "the decoder is gone")
            self.served += 1
            os.ftruncate(self._errors, 0)
            self._limit_cpu(cpu_s)
            try:
                reply = self._exchange(message, wall_s, descriptors)
            except TimeoutError:
                self.close()
                raise RejectedError(Reason.TIMEOUT, f"no answer within {wall_s:g} s") from None
            except (EOFError, OSError, ValueError) as error:
                raise self._post_mortem(error) from None
            except BaseException:  # KeyboardInterrupt: the reply would answer the next request
                self.close()
                raise
        if "reason" in reply:
            raise RejectedError(_reason(reply["reason"]), str(reply.get("detail", "")))
        return reply

    def close(self) -> None:
        """End the child and everything in its process group."""
        if self._finalizer is not None:
            self._finalizer()
        self._finalizer = self._process = self._link = None

    def _exchange(
        self, message: dict[str, Any], wall_s: float, descriptors: tuple[int, ...]
    ) -> dict[str, Any]:
        assert self._link is not None
        deadline = time.monotonic() + wall_s
        self._link.settimeout(wall_s)
        media_wire.send(self._link, message, descriptors)
        self._link.settimeout(max(0.01, deadline - time.monotonic()))
        reply, strays = media_wire.receive(self._link, REPLY_BYTES)
        for stray in strays:
            os.close(stray)
        return reply

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        errors = os.memfd_create("media-errors", os.MFD_CLOEXEC)
        fcntl.fcntl(errors, fcntl.F_SETFL, os.O_APPEND)
        try:
            process = subprocess.Popen(  # noqa: S603 - our interpreter, our module
                [sys.executable, "-P", "-m", self.module, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=_environment(),
                cwd="/",
            )
        except OSError:
            ours.close()
            os.close(errors)
            raise
        finally:
            theirs.close()
        self._process, self._link, self._errors = process, ours, errors
        self._finalizer = weakref.finalize(self, _end, process, ours, errors, os.getpid())
        self.generation += 1
        self.served = 0
        memory = self.memory_mb << 20
        for kind, value in (
            (resource.RLIMIT_AS, memory),
            (resource.RLIMIT_FSIZE, STDERR_BYTES),  # also what stops a flood on stderr
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NOFILE, DESCRIPTORS),
        ):
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(process.pid, kind, (value, value))

    def _limit_cpu(self, cpu_s: float) -> None:
        """Let the child use `cpu_s` more seconds; the kernel then sends SIGXCPU."""
        assert self._process is not None
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
            used = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
            soft = math.ceil(used + cpu_s)
            resource.prlimit(self._process.pid, resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))

    def _post_mortem(self, error: Exception) -> RejectedError:
        """Why the child went away, from its exit status and last words."""
        assert self._process is not None
        words = os.pread(self._errors, STDERR_BYTES, 0).decode(errors="replace").strip()
        try:
            code = self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            code = None
        self.close()
        last = words.splitlines()[-1] if words else str(error)
        if code == -signal.SIGXCPU:
            return RejectedError(Reason.CPU_LIMIT, "used up its CPU seconds")
        if any(word in words for word in OUT_OF_MEMORY):
            return RejectedError(
                Reason.MEMORY_LIMIT, f"{self.memory_mb} MB were not enough: {last}"
            )
        if code == 1 and "Traceback" in words:
            return RejectedError(Reason.INTERNAL, last)
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return RejectedError(Reason.DECODER_CRASH, f"{how}: {last}")


def _end(process: subprocess.Popen[bytes], link: socket.socket, errors: int, owner: int) -> None:
    """Kill the group, reap the child, free the descriptors. A forked copy only closes its own."""
    link.close()
    os.close(errors)
    if os.getpid() != owner:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _environment() -> dict[str, str]:
    """What a child needs and nothing else: no tokens, no proxies, one thread a library."""
    paths = [str(ROOT), *(path for path in sys.path if path)]
    kept = {
        name: os.environ[name] for name in ("LD_LIBRARY_PATH", "VIRTUAL_ENV") if name in os.environ
    }
    return kept | {
        "PATH": os.defpath,
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "1",  # each more reserves 64 MB of the address space we limit
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def _reason(text: object) -> Reason:
    try:
        return Reason(str(text))
    except ValueError:
        return Reason.INTERNAL
