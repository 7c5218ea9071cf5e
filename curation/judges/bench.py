"""All judges over the clips of films; a judge that fails loses its own row and nothing else.

Decoders of the bench's own may read ahead of the networks, a group of neighbouring clips each.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from curation.assets import MissingModelError
from curation.film import rounded
from curation.judges import faces, heard, lips, pictures, text
from curation.judges.columns import COLUMNS
from curation.judges.config import JudgeConfig
from curation.judges.evidence import Evidence, Tools
from curation.judges.seen import GROUP_S, Seen, groups, look_at
from curation.media import Frames, MediaReader
from curation.read_ahead import Films, ReadAhead
from curation.records import Reason, RejectedError, Status, clean

Row = dict[str, Any]
Film = Sequence[Row]  # clips of one film in time order
Group = tuple[int, Film]  # some of them, and the number of the film
Shown = list[tuple[Row, Seen]]
# Told what is begun, for as long as it lasts; may refuse it: who watches knows what kills workers.
Begun = Callable[[str], AbstractContextManager[None]]
JUDGE: dict[str, Callable[[Evidence], Row]] = {
    "text": text.judge,
    "faces": faces.judge,
    "safety": pictures.safety,
    "looks": pictures.looks,
    "embed": pictures.embed,
    "events": heard.events,
    "voice": heard.voice,
    "agree": heard.agree,
    "lips": lips.judge,
}


def unwatched(_: str) -> AbstractContextManager[None]:
    """Nobody watches."""
    return nullcontext()


class Bench:
    """The judges of a recipe with their models, which are loaded when first asked.

    `readers` work ahead of the networks; the first is the networks' own, and reads all if it is
    alone. `begun` is told of every group of clips that is read and of every judgement.
    """

    def __init__(
        self, config: JudgeConfig, readers: Sequence[MediaReader], begun: Begun = unwatched
    ) -> None:
        self._config, self._begun, self._own = config, begun, readers[0]
        self._tools = Tools(config)
        self._films = Films(GROUP_S)
        self._ahead = ReadAhead(readers[0], readers[1:])

    def judge_films(self, films: Sequence[Film], ahead: bool = True) -> list[tuple[str, Row]]:
        """(judge, row) for every judgement that the clips ask for.

        Where a film cannot be read further, its clips from there on are failed rows. Without
        `ahead` nothing is read before it is its turn.
        """
        self._films.expect(clip for film in films for clip in film)
        plans = self._ahead.over(
            (((number, film), partial(self._plan, film)) for number, film in enumerate(films)),
            ahead,
        )
        rows: list[tuple[str, Row]] = []
        lost: dict[int, RejectedError] = {}
        try:
            for (number, group), read in self._ahead.over(self._groups(plans), ahead):
                if number not in lost:
                    try:
                        shown = read()
                    except RejectedError as error:
                        lost[number] = error
                    except Exception as error:
                        detail = f"{type(error).__name__}: {error}"
                        lost[number] = RejectedError(Reason.INTERNAL, detail)
                if number in lost:
                    rows += refused(group, lost[number])
                    continue
                for clip, seen in shown:
                    rows += self.judge(seen, clip["judges"])
        finally:
            self._films.close()
        return rows

    def _groups(
        self, plans: Iterable[tuple[Group, Callable[[], list[list[Row]]]]]
    ) -> Iterator[tuple[Group, Callable[[MediaReader], Shown]]]:
        """Groups of clips with how they are read; of a film that cannot be opened all at once."""
        for (number, film), plan in plans:
            try:
                planned = plan()
            except Exception as error:
                yield (number, film), partial(raised, error)
                continue
            for group in planned:
                yield (number, group), partial(self._look, group)

    def _plan(self, film: Film, reader: MediaReader) -> list[list[Row]]:
        with self._reading(film, reader) as path:
            return groups(reader.probe(path), list(film), self._config)

    def _look(self, group: list[Row], reader: MediaReader) -> Shown:
        with self._reading(group, reader) as path:
            return look_at(reader, path, group, self._config, partial(self._again, group[0]))

    @contextmanager
    def _reading(self, clips: Film, reader: MediaReader) -> Iterator[str]:
        with (
            self._begun(f"{clips[0]['clip_id']} reading"),
            self._films.local(clips[0], reader) as path,
        ):
            yield path

    def _again(self, clip: Row, **request: Any) -> Frames:  # noqa: ANN401 - as MediaReader.frames
        """Frames that a judge asks for, read by the networks' own reader."""
        with self._films.local(clip, self._own) as path:
            return self._own.frames(path, **request)

    def judge(self, seen: Seen, names: list[str]) -> list[tuple[str, Row]]:
        """(judge, row) of one clip; evidence that several judges need is made once."""
        evidence = Evidence(seen, self._tools, self._config)
        return [(name, judgement(name, evidence, self._begun)) for name in names]


def raised(error: Exception, _: MediaReader) -> Shown:
    """A film that was refused before anything was read."""
    raise error


def refused(clips: Film, error: RejectedError) -> list[tuple[str, Row]]:
    """A failed row for every judgement of the clips."""
    return [
        (name, empty(name, clip["clip_id"], Status.FAILED, error.reason, error.detail))
        for clip in clips
        for name in clip["judges"]
    ]


def judgement(name: str, evidence: Evidence, begun: Begun = unwatched) -> Row:
    """The row of one judge: all its columns, null where it says nothing, and its status."""
    clip = evidence.seen.clip_id
    try:
        with begun(f"{clip} {name}"):
            found = JUDGE[name](evidence)
        assert set(found) <= set(COLUMNS[name]), f"{name} gave columns that it does not declare"
        return empty(name, clip, Status.OK) | rounded(found)
    except MissingModelError as error:
        return empty(name, clip, Status.SKIPPED, Reason.NO_MODEL, str(error))
    except RejectedError as error:
        return empty(name, clip, Status.FAILED, error.reason, error.detail)
    except Exception as error:
        detail = f"{name}: {type(error).__name__}: {error}"
        return empty(name, clip, Status.FAILED, Reason.INTERNAL, detail)


def empty(
    name: str, clip: str, status: Status, reason: Reason | None = None, detail: str = ""
) -> Row:
    """A row whose columns are all null."""
    told = clean(detail) if reason else None
    facts = {"clip_id": clip, "status": status, "reason": reason, "detail": told}
    return facts | dict.fromkeys(COLUMNS[name])
