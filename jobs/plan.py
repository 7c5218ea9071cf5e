"""What curating these films will cost: hours of each pass, storage, shards, node-hours.

  reelmill plan recipe.yaml [films ...]
  reelmill plan model [sizes ...]         what a model costs instead (`plan model --help`)

Reads headers for the length of the whole, puts a few films through every pass of `reelmill curate`
in a folder that is removed afterwards, and extrapolates by length. Each figure comes with the band
in which it lies nine times of ten, if the other films are like these. Writes <out>/plan.json. Ends
with code 2 when the disk will not hold what the passes write.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.files import atomic, write_json
from curation.headers import header_copy
from curation.media import MediaReader
from curation.places import Place
from curation.progress import progress, say
from curation.records import RejectedError
from curation.sources import Source, find_sources, local_copy
from jobs import judge
from jobs.cli import DONE, TOO_MANY_REJECTED, WRONG_REQUEST, main_verb
from jobs.config import Recipe, RecipeError
from jobs.curate import steps
from jobs.plan_figures import HOUR, Trial, amount, extrapolated, figure, rounded, table
from jobs.scan import sources_of
from pipelines.attempts import Times, timing
from pipelines.contract import find_set, read_contract, read_index
from pipelines.estimate import Estimate, by_film, pick, ratio
from pipelines.ledger import Ledger

SECTIONS = ("plan",)


def run(recipe: Recipe, words: list[str]) -> int:
    """Plan the curation of `recipe.scan.sources`; further words are sources instead."""
    films = find_sources(sources_of(recipe, words))
    if len(films) < 2:
        raise RecipeError(f"scan.sources: a plan extrapolates from two films, found {len(films)}")
    sample = pick(films, recipe.plan.films)
    lengths = probed([*pick(films, recipe.plan.probes), *sample], recipe)
    sizes = {film.path: float(max(0, film.bytes)) for film in films}
    known = ratio(list(lengths.values()), [sizes[path] for path in lengths], len(films))
    whole = known.times(Estimate(sum(sizes.values())))
    if not whole.value:
        raise RecipeError("scan.sources: no header tells a length; `reelmill scan` gives reasons")
    trial = tried(recipe, sample, lengths)
    plan = extrapolated(trial, whole, len(films), recipe)
    write_json(recipe.out / "plan.json", rounded(plan))
    headers = f"{len(lengths)} headers and {len(sample)} films ({sum(trial.seconds) / HOUR:.2f} h)"
    say(f"plan: {len(films)} films, {figure(plan['film_hours'], 'h')}, from {headers}")
    for line in table(plan):
        say(line)
    say(f"plan: {recipe.out / 'plan.json'}")
    need, free = plan["bytes"].high, plan["free_bytes"]
    if free is not None and need > free:
        say(
            f"reelmill plan: the disk of {recipe.data.path} has {amount(free)} free and up to "
            f"{amount(need)} will be written; set `out` or `storage` to a larger one, or encode "
            "less (encode.renditions, policy)"
        )
        return WRONG_REQUEST
    return DONE


def probed(films: list[Source], recipe: Recipe) -> dict[str, float]:
    """Seconds of films by their header, 0 where it cannot be read."""
    paths = dict.fromkeys(film.path for film in films)
    lengths = {}
    with (
        MediaReader(recipe.scan.limits) as reader,
        progress("plan: headers", len(paths), "films") as advance,
    ):
        for path in paths:
            lengths[path] = header_seconds(reader, path)
            advance()
    return lengths


def header_seconds(reader: MediaReader, path: str) -> float:
    """Length of a film by its header, or by all of it where that says too little; 0 for none."""
    for copied in (header_copy, local_copy):
        with suppress(RejectedError), copied(path) as copy:
            return reader.probe(copy).seconds
    return 0.0


def tried(recipe: Recipe, sample: list[Source], lengths: dict[str, float]) -> Trial:
    """Put films through the passes of `reelmill curate` and see what each took."""
    with scratch(recipe.out / "plan") as folder:
        trial = recipe.model_copy(update={"out": folder, "storage": ""})
        times = dict(passes(trial, manifest(folder, sample)))
        ledger = Ledger(trial.data.ledger)
        rows = {row["path"]: row for row in ledger.rows("sources")}
        ids = {path: str(row["source_id"]) for path, row in rows.items() if row["source_id"]}
        order = [ids.get(film.path, film.path) for film in sample]
        found = {name: by_film(spent, ids) for name, spent in times.items()}
        begun = sum(
            s for spent in times.values() for name, s in spent.items() if name.startswith("start ")
        )
        entries = samples(trial)
        held = folder_bytes(trial.data.ledger)

    def each(cost: dict[str, float]) -> list[float]:
        return [cost.get(film, 0.0) for film in order]

    return Trial(
        seconds=[lengths[film.path] for film in sample],
        passes={name: each(cost) for name, cost in found.items()},
        starts=begun,
        kept=each(summed(entries, "seconds")),
        samples=each(summed(entries, "one")),
        shard_bytes=each(summed(entries, "bytes")),
        ledger_bytes=held,
    )


def passes(recipe: Recipe, sources: Path) -> Iterator[tuple[str, Times]]:
    """Run each pass; its name and what its workers took, by input.

    A pass without workers of its own, such as one that asks a server, counts as one. Raises
    RecipeError when a pass ends early.
    """
    for step, words in steps(recipe, [str(sources)]):
        name = step.__name__.rpartition(".")[2]
        if step is judge and not recipe.judge.judges:
            continue
        begun = time.monotonic()
        with timing() as times:
            code = step.run(recipe, words)
        if name == "decide" and code == TOO_MANY_REJECTED:
            say("plan: the policy keeps none of these clips, so nothing is known of what follows")
            return
        if code not in (DONE, TOO_MANY_REJECTED):
            raise RecipeError(f"the pass `{name}` ended with code {code} on the sample; see above")
        if name != "decide":
            yield name, times or {name: time.monotonic() - begun}


def manifest(folder: Path, sample: list[Source]) -> Path:
    """The sample as a manifest, so that captions and licences stay with their films."""
    names = ("path", "caption", "licence")
    columns = {name: [getattr(film, name) for film in sample] for name in names}
    types = pa.schema([(name, pa.string()) for name in names])
    with atomic(folder / "sample.parquet") as temp:
        pq.write_table(pa.table(columns, schema=types), temp)
    return folder / "sample.parquet"


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """An empty folder for the length of the block."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def samples(recipe: Recipe) -> list[dict[str, Any]]:
    """source_id, seconds and bytes of every sample that was encoded."""
    try:
        folder = find_set(recipe.data)
    except ValueError:  # nothing was kept
        return []
    contract = read_contract(folder)
    extra = sum(shard["bytes"] for shard in contract["shards"])
    rows = read_index(folder, contract).to_pylist()
    inside = sum(row["size"] + row["json_size"] for row in rows) or 1
    return [
        {
            "film": row["key"][:16],
            "one": 1.0,
            "seconds": row["seconds"],
            "bytes": (row["size"] + row["json_size"]) * extra / inside,
        }
        for row in rows
    ]


def summed(rows: list[dict[str, Any]], column: str) -> dict[str, float]:
    """Sums by film."""
    sums: dict[str, float] = {}
    for row in rows:
        sums[row["film"]] = sums.get(row["film"], 0.0) + row[column]
    return sums


def folder_bytes(folder: Place) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    raise SystemExit(main_verb("plan"))
