"""All clips of a folder, one after the other."""

from collections.abc import Sequence

from curation.progress import progress
from curation.records import RejectedError, clean
from jobs.evaluate_config import EvaluateConfig
from jobs.evaluating.clips import Clip, watch
from jobs.evaluating.scores import Bench, score
from jobs.evaluating.sets import Folder, Scored


def measure(bench: Bench, config: EvaluateConfig, where: str, clips: Sequence[Clip]) -> Folder:
    """Scores of all clips of a folder; one that cannot be read loses its own and nothing else."""
    folder = Folder(where)
    with progress("evaluate", len(clips), "clips") as advance:
        for clip in clips:
            try:
                seen = watch(bench.reader, clip, config.side, config.seconds)
                folder.scored.append(Scored(clip, *score(bench, seen)))
            except RejectedError as error:
                folder.rejected.append((clip.path.name, clean(str(error), 300)))
            advance(1, clip.path.name)
    return folder
