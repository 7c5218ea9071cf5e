"""An input that kills whoever works on it is found here, and set aside after two deaths.

A worker says what it begins and what it has ended. What is begun again without having ended killed
its worker. The count lives in an actor beside the driver, which workers' deaths leave alone, and
deaths are in a file as soon as they are known, so that a rerun does not start from nothing. Where
the driver itself works, what it begins is in the file before it is begun. How long each took comes
with it: `reelmill plan` extrapolates from that.
"""

import json
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from curation.files import write_json
from curation.places import Place
from curation.records import Reason, RejectedError

DEATHS = 2  # of workers on one input, before the input is in quarantine
Times = dict[str, float]  # seconds of workers by name of what they did
_asked: ContextVar[Times | None] = ContextVar("times asked for", default=None)


class Watch(Protocol):
    """Who is told what is begun and ended."""

    def begin(self, name: str) -> int:
        """Note that `name` is begun; how many died of it so far."""
        ...

    def end(self, name: str) -> None:
        """Note that `name` is over, whatever came of it."""
        ...


class Attempts:
    """What is in hand, and how many workers each input has killed.

    `path` keeps deaths over runs; None forgets them. With `alone` this process is the worker.
    `times` is filled when it is given.
    """

    def __init__(
        self, path: Place | None = None, alone: bool = False, times: Times | None = None
    ) -> None:
        self._path, self._alone, self._times = path, alone, times
        self._open: set[str] = set()
        self._since: dict[str, float] = {}
        self._deaths: Counter[str] = Counter()
        if path is not None and path.exists():
            kept = json.loads(path.read_bytes())
            self._deaths.update(kept["deaths"])
            self._deaths.update(kept["open"])

    def begin(self, name: str) -> int:
        """Note that `name` is begun, unless it is in quarantine; how many died of it so far."""
        died = name in self._open
        self._deaths[name] += died
        quarantined = self._deaths[name] >= DEATHS
        (self._open.discard if quarantined else self._open.add)(name)
        if self._times is not None:
            self._since[name] = time.monotonic()
        if died or (self._alone and not quarantined):
            self._write()
        return self._deaths[name]

    def end(self, name: str) -> None:
        """Note that `name` is over, whatever came of it."""
        self._open.discard(name)
        if self._times is not None:
            took = time.monotonic() - self._since.pop(name)
            self._times[name] = self._times.get(name, 0.0) + took

    def died(self, names: Collection[str]) -> bool:
        """Whether a worker died while it had one of these in hand."""
        return any(name in self._open or self._deaths[name] for name in names)

    def times(self) -> Times | None:
        """Seconds of all that has ended."""
        return self._times

    def close(self) -> None:
        """Write what the next run has to know, when this one stops before its end."""
        if self._path is not None and (self._deaths.total() or self._path.exists()):
            self._write()

    def _write(self) -> None:
        if self._path is not None:
            in_hand = sorted(self._open) if self._alone else []
            write_json(self._path, {"deaths": +self._deaths, "open": in_hand})


class Remote:
    """The same for a worker: `actor` is the handle of the driver's Attempts."""

    def __init__(self, actor: Any) -> None:  # noqa: ANN401 - a Ray handle
        self._actor = actor

    def begin(self, name: str) -> int:
        """As Attempts.begin."""
        import ray  # noqa: PLC0415 - who works without Ray need not load it

        return int(ray.get(self._actor.begin.remote(name)))

    def end(self, name: str) -> None:
        """As Attempts.end; calls of one worker arrive in their order."""
        self._actor.end.remote(name)

    def died(self, names: Collection[str]) -> bool:
        """As Attempts.died."""
        import ray  # noqa: PLC0415 - as above

        return bool(ray.get(self._actor.died.remote(names)))


@contextmanager
def watching(path: Place | None = None) -> Iterator[Any]:
    """The handle of Attempts in an actor on the driver's own node, where its file is."""
    import ray  # noqa: PLC0415 - as above
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    actor = ray.remote(num_cpus=0, scheduling_strategy=here)(Attempts)
    asked = _asked.get()
    handle = actor.remote(
        path.resolve() if path is not None else None, times=None if asked is None else {}
    )
    try:
        yield handle
        if asked is not None:
            asked.update(ray.get(handle.times.remote()))
    finally:
        if ray.is_initialized():  # a pass may be let go of at the process's end
            ray.kill(handle)


@contextmanager
def timing() -> Iterator[Times]:
    """What the workers of the passes within take, by the name of each input."""
    times: Times = {}
    token = _asked.set(times)
    try:
        yield times
    finally:
        _asked.reset(token)


@contextmanager
def once(name: str) -> Iterator[None]:
    """The time of work in the driver that a pass has once, whatever the number of its films."""
    since = time.monotonic()
    try:
        yield
    finally:
        if (asked := _asked.get()) is not None:
            key = f"start of {name}"
            asked[key] = asked.get(key, 0.0) + time.monotonic() - since


def alone(path: Place) -> Attempts:
    """Attempts of a driver that does the work itself."""
    return Attempts(path, alone=True, times=_asked.get())


@contextmanager
def begun(watch: Watch, name: str) -> Iterator[None]:
    """The time in which `name` is worked on. Raises RejectedError(worker_died) in quarantine."""
    if watch.begin(name) >= DEATHS:
        raise RejectedError(
            Reason.WORKER_DIED,
            f"its worker died {DEATHS} times; `reelmill replay --reason worker_died` frees it",
        )
    try:
        yield
    finally:
        watch.end(name)


@contextmanager
def starting(watch: Remote) -> Iterator[None]:
    """The time in which an actor loads its models. Raises RejectedError when it died of it twice.

    Ray would start such an actor again for ever.
    """
    import ray  # noqa: PLC0415 - as above

    with begun(watch, f"start of {ray.get_runtime_context().get_actor_id()}"):
        yield


def deaths_file(ledger: Place, name: str, replay: Collection[str] = ()) -> Place:
    """Where a pass keeps deaths until its end. What is replayed begins without any."""
    path = ledger / "deaths" / f"{name.replace('/', '-')}.json"
    if replay:
        path.unlink(missing_ok=True)
    return path
