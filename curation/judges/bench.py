"""All judges over the clips of a film; a judge that fails loses its own row and nothing else."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from curation.assets import MissingModelError
from curation.film import rounded
from curation.judges import faces, heard, lips, pictures, text
from curation.judges.columns import COLUMNS
from curation.judges.config import JudgeConfig
from curation.judges.evidence import Evidence, Tools
from curation.judges.seen import Seen, look
from curation.media import MediaReader
from curation.records import Reason, RejectedError, Status, clean

Row = dict[str, Any]
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

    `begun` is told of every clip that is read and of every judgement.
    """

    def __init__(self, config: JudgeConfig, reader: MediaReader, begun: Begun = unwatched) -> None:
        self._config, self._reader, self._begun = config, reader, begun
        self._tools = Tools(config)

    def judge_film(self, path: str, clips: list[Row]) -> list[tuple[str, Row]]:
        """(judge, row) for every judgement that the clips (in time order) ask for.

        Where the film cannot be read further, the clips from there on are failed rows.
        """
        rows: list[tuple[str, Row]] = []
        left = list(clips)
        looks = look(self._reader, path, clips, self._config)
        try:
            while left:
                with self._begun(f"{left[0]['clip_id']} reading"):
                    clip, seen = next(looks)
                rows += self.judge(seen, clip["judges"])
                left.pop(0)
        except RejectedError as error:
            rows += [
                (name, empty(name, clip["clip_id"], Status.FAILED, error.reason, error.detail))
                for clip in left
                for name in clip["judges"]
            ]
        return rows

    def judge(self, seen: Seen, names: list[str]) -> list[tuple[str, Row]]:
        """(judge, row) of one clip; evidence that several judges need is made once."""
        evidence = Evidence(seen, self._tools, self._config)
        return [(name, judgement(name, evidence, self._begun)) for name in names]


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
