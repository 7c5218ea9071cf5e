"""The judges' pass: learned models look at clips that a scan has cut, each into a table of its own.

Stages: which judgements are missing (here, an anti-join on clip and table) → judge on Ray, clips of
a film together so that it is opened once for all judges (judge_actors.py) → commit in small batches
→ compact. A changed model makes only its own table anew.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

from curation.assets import MissingModelError
from curation.judges.config import PICTURE, JudgeConfig
from curation.judges.models import provide
from curation.media import Limits
from curation.places import Place
from curation.progress import progress, say
from curation.records import Reason, Status
from curation.scores import CROP, crop_of
from pipelines.attempts import deaths_file
from pipelines.batches import committed
from pipelines.budget import ERROR_BUDGET, Budget
from pipelines.caption_ask import FILE, scanned_files
from pipelines.ledger import Ledger, Row
from pipelines.retry import counted, wanted
from pipelines.tally import Tally

# Of one film in one task: a long film keeps all cores busy, a kill costs 32 clips, and opening the
# film again (0.1 s an hour of film) stays under 1 % of judging them. Few clips make smaller tasks,
# so that no worker has the last one for long while others idle.
CLIPS_A_TASK, LEAST_CLIPS, TASKS_A_WORKER = 32, 4, 8
CARRIED = ("clip_id", "path", "source_id", *FILE, "start_s", "end_s", "has_audio", "crop")
Missing = dict[str, dict[str, Row | None]]  # clip_id -> judges, with the row that each replaces


def judge(
    config: JudgeConfig,
    ledger: Ledger,
    scan_fingerprint: str,
    limits: Limits | None = None,
    error_budget: float = ERROR_BUDGET,
    replay: Collection[str] = (),
) -> Tally:
    """Judge the clips of a scan; one row a clip in `scores/<judge>@<fingerprint>` of each judge.

    With `replay` only judgements that failed for these reasons. A judge whose model is not here
    writes rows without values, `skipped` for `no_model`; a later run with the model fills them.
    Raises BudgetError when a cause that is not the clips' fault meets more than a share of them.
    """
    clips = cropped(ledger, scan_fingerprint)
    tables = config.tables()
    missing, done = lacking(ledger, tables, clips, replay)
    lacks = sum(map(len, missing.values()))
    tally = Tally("judge", "judgements", lacks if replay else len(clips) * len(tables))
    for row in () if replay else done:
        tally.add(row["status"], row["reason"], earlier=True)
    failures: Counter[str] = Counter()
    if missing:
        absent = unavailable(config, {name for names in missing.values() for name in names})
        settle(ledger, tables, missing, absent, tally)
        files = scanned_files(ledger, scan_fingerprint)
        for clip in clips:
            clip |= {key: files.get(clip["path"], {}).get(key) for key in FILE}
        deaths = deaths_file(ledger.folder, f"judge@{scan_fingerprint}", replay)
        budget = Budget("judgements", error_budget)
        for name, row in judged(config, ledger, clips, missing, limits or Limits(), deaths):
            tally.add(row["status"], row["reason"])
            failures[name] += row["status"] == Status.FAILED
            budget.add_all([row], name)
        deaths.unlink(missing_ok=True)
    for table in tables.values():
        ledger.compact(table)
    wrong = [f"{name} failed on {count}" for name, count in failures.items() if count]
    tally.close("; ".join([*wrong, ", ".join(tables.values())]))
    return tally


def lacking(
    ledger: Ledger, tables: dict[str, str], clips: list[Row], replay: Collection[str] = ()
) -> tuple[Missing, list[Row]]:
    """(judgements to be made, rows that stay) of `clips`; one of another crop is made anew."""
    missing: Missing = {}
    done = []
    for name, table in tables.items():
        rows = ledger.read(table, ["status", "reason", "attempts", "crop"]).to_pylist()
        known = {row["clip_id"]: row for row in rows}
        for clip in clips:
            row = known.get(clip["clip_id"])
            stale = row is not None and row["crop"] != seen_crop(name, clip)
            if wanted(row, replay) or (stale and not replay):
                missing.setdefault(clip["clip_id"], {})[name] = row
            elif row is not None:
                done.append(row)
    return missing, done


def cropped(ledger: Ledger, scan: str) -> list[Row]:
    """The clips of a scan with what is to be cut off their picture, `crop`; None where nothing."""
    bars = ledger.read(f"scores/scan@{scan}", CROP).to_pylist()
    crops = {row["clip_id"]: list(crop) for row in bars if (crop := crop_of(row))}
    clips = ledger.clips(scan).to_pylist()
    return [clip | {"crop": crops.get(clip["clip_id"])} for clip in clips]


def seen_crop(judge: str, clip: Row) -> str | None:
    """The crop that a judgement's row tells of; None where nothing is cut off or nobody looks."""
    crop = clip.get("crop") if judge in PICTURE else None
    return " ".join(f"{share:g}" for share in crop) if crop else None


def unavailable(config: JudgeConfig, names: set[str]) -> dict[str, str]:
    """Why judges cannot run here; models that can be had are fetched now, once for all workers."""
    absent: dict[str, str] = {}
    for name in (n for n in config.judges if n in names):
        try:
            provide(name)
        except MissingModelError as error:
            absent[name] = str(error)
            say(f"judge: no {name}: {error}")
    return absent


def settle(
    ledger: Ledger,
    tables: dict[str, str],
    missing: Missing,
    absent: dict[str, str],
    tally: Tally,
) -> None:
    """Write the rows of judges that cannot run, and take them out of what is missing."""
    for name, why in absent.items():
        clips = [clip for clip, names in missing.items() if name in names]
        rows = [empty_row(clip, Status.SKIPPED, Reason.NO_MODEL, why[:200]) for clip in clips]
        ledger.append(tables[name], rows)
        tally.add_all(rows)
        for clip in clips:
            missing[clip].pop(name)


def empty_row(clip: str, status: Status, reason: Reason, detail: str) -> Row:
    """A judgement without values: every column is null."""
    return {"clip_id": clip, "status": status, "reason": reason, "detail": detail}


def counted_task(
    task: list[tuple[str, Row]], missing: Missing, clips: Mapping[str, Row]
) -> list[tuple[str, Row]]:
    """The judgements of a task with their attempts and the crop that was seen."""
    return [
        (
            name,
            counted(row, missing[row["clip_id"]][name])
            | {"crop": seen_crop(name, clips[row["clip_id"]])},
        )
        for name, row in task
    ]


def judged(
    config: JudgeConfig,
    ledger: Ledger,
    clips: list[Row],
    missing: Missing,
    limits: Limits,
    deaths: Place,
) -> Iterator[tuple[str, Row]]:
    """(judge, row) of everything missing, each after it is safe in its table."""
    if not any(missing.values()):
        return
    from pipelines import cluster, judge_actors  # noqa: PLC0415 - Ray: a rerun need not pay

    cluster.start()
    workers = config.workers or judge_actors.gpus(config) or cluster.cpus()
    share = max(LEAST_CLIPS, len(missing) // (TASKS_A_WORKER * workers))
    work = tasks(clips, missing, min(CLIPS_A_TASK, share))
    rows = together(work, min(CLIPS_A_TASK * config.ahead, share))
    tables = config.tables()
    total = sum(len(clip["judges"]) for task in work for clip in task["clips"])
    found = judge_actors.judge_all(config, limits, rows, deaths)
    by_id = {clip["clip_id"]: clip for clip in clips}
    with progress("judge", total, "judgements") as advance:
        for task in committed(
            (counted_task(task, missing, by_id) for task in found),
            lambda some: commit(ledger, tables, [row for done in some for row in done]),
            lambda done: advance(len(done)),
        ):
            yield from task


def commit(ledger: Ledger, tables: dict[str, str], rows: list[tuple[str, Row]]) -> None:
    """Append rows to the tables of their judges."""
    for name, group in groupby(sorted(rows, key=itemgetter(0)), key=itemgetter(0)):
        ledger.append(tables[name], [row for _, row in group])


def tasks(
    clips: list[Row], missing: Mapping[str, Iterable[str]], most: int = CLIPS_A_TASK
) -> list[dict[str, Any]]:
    """Clips that lack a judgement, in time order, at most `most` of one film together."""
    wanted = [
        {key: clip.get(key) for key in CARRIED} | {"judges": list(missing[clip["clip_id"]])}
        for clip in clips
        if missing.get(clip["clip_id"])
    ]
    wanted.sort(key=itemgetter("path", "start_s"))
    found = []
    for path, group in groupby(wanted, key=itemgetter("path")):
        film = list(group)
        found += [{"path": path, "clips": film[i : i + most]} for i in range(0, len(film), most)]
    return found


def together(work: list[dict[str, Any]], most: int) -> list[list[list[Row]]]:
    """Rows of tasks that follow each other: the clips of each, at most `most` if there are several.

    Decoders that work ahead begin with nothing in hand at every row, so theirs are longer.
    """
    found: list[list[list[Row]]] = []
    for task in work:
        if not found or sum(map(len, found[-1])) + len(task["clips"]) > most:
            found.append([])
        found[-1].append(task["clips"])
    return found
