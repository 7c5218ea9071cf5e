"""What stands on a card: media, why, how near, what is said, the captions, the scores."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from curation.progress import progress
from curation.records import Status, clean
from curation.spoken import parse_words
from jobs.report.charts import number
from jobs.report.explain import NOT_ASKED, Line, Near, explain
from jobs.report.facts import NUMERIC, TEXTS, Facts
from jobs.report.funnel import bare
from jobs.report.gallery import Group
from jobs.report.media import Budget, Shown, show
from jobs.report.previews import Span, previews
from pipelines.ledger import Row
from pipelines.policy import ALL_SCORES
from pipelines.policy_diff import CLASS

TEXT_CHARS = 1_200  # of any text on a card
TAGS = ("text", "sfx", "dialogue", "singing", "bgm")  # of a structured caption
SAID = ("transcript", "word_times")  # told as speech, not as scores


@dataclass(frozen=True)
class Turn:
    """What one speaker says, with the share of it that a gate does not believe."""

    speaker: str
    words: str
    doubted: bool


@dataclass
class Card:
    """One clip. `kinds` are the page's own names of the filters that show it."""

    clip: Row
    title: str
    long: str
    origin: str
    sound_class: str
    film: str
    kinds: list[str]
    status: str
    reason: str
    detail: str
    lines: list[Line]
    near: str
    turns: list[Turn]
    parts: list[tuple[str, str]]
    tellers: list[tuple[str, str]]
    agreement: str
    trouble: list[str]
    sync: list[tuple[str, str]]
    scores: list[tuple[str, str, str]]
    texts: list[tuple[str, str]]
    shown: Shown = field(default_factory=Shown)


def cards_of(
    facts: Facts, found: Sequence[Group], near: Near, budget: Budget
) -> dict[str, list[Card]]:
    """The cards of each group by its key; media go to the first card of every group first."""
    places = [place for group in found for place in group.places]
    if not places:
        return {}
    rows = dict(zip(places, facts.rows(places), strict=True))
    policy = facts.recipe.policy.phase(facts.recipe.encode.phase)
    lines = dict(zip(places, explain(policy, facts.clips, np.array(places)), strict=True))
    reasons = reason_keys(found)
    films = {row["path"]: row for row in facts.sources}
    troubles = trouble_of(facts)
    cards = {}
    for group in found:
        for place in group.places:
            row = rows[place]
            cards[place] = card(row, lines[place], group, reasons)
            cards[place].trouble = troubles.get(row["clip_id"], [])
            if near.distance[place] < np.inf and group.key.startswith("nearly"):
                rule = policy.rules[int(near.rule[place])].title
                cards[place].near = f"{rule}, {number(float(near.distance[place]))} σ away"
    order = list(in_rounds(found))
    spans = [span_of(rows[place], films[rows[place]["path"]]) for place in order]
    folder, limits = facts.recipe.data.previews, facts.recipe.scan.limits
    with progress("report", len(order), "clips") as advance:
        for place, (_, made) in zip(order, previews(spans, folder, limits), strict=True):
            cards[place].shown = show(budget, made)
            advance()
    return {group.key: [cards[place] for place in group.places] for group in found}


def in_rounds(found: Sequence[Group]) -> Iterator[int]:
    """The first clip of every group, then the second of every group, and so on."""
    for turn in range(max((len(group.places) for group in found), default=0)):
        for group in found:
            if turn < len(group.places):
                yield group.places[turn]


def span_of(row: Row, film: Row) -> Span:
    """What is cut out of the film for a clip."""
    return Span(
        row["clip_id"],
        row["source_id"],
        row["path"],
        row["start_s"],
        row["end_s"],
        film["bytes"],
        film["mtime_ns"],
    )


def reason_keys(found: Sequence[Group]) -> dict[str, str]:
    """The page's own name of each reason's group."""
    return {group.title: group.key for group in found if group.key.startswith("r")}


def trouble_of(facts: Facts) -> dict[str, list[str]]:
    """What failed of a clip in passes after the scan, by clip_id."""
    found: dict[str, list[str]] = {}
    for letter in facts.letters:
        told = f"{letter.step} {letter.of}".strip()
        tried = f" (tried {letter.attempts} times)" if (letter.attempts or 0) > 1 else ""
        words = f"{told}: {letter.reason}{tried}: {clean(letter.detail, 200)}"
        found.setdefault(letter.id, []).append(words)
    return found


def card(row: Row, lines: list[Line], group: Group, reasons: dict[str, str]) -> Card:
    """A clip's row as a card, without its media."""
    verdict = row["verdict"]
    reason = bare(verdict["reason"] or "")
    kept = verdict["status"] == Status.OK
    kinds = ["kept" if kept else "dropped", group.key, *filter(None, [reasons.get(reason)])]
    kinds += ["near"] if group.key.startswith("nearly") else []
    caption = row["caption"] or {}
    return Card(
        clip=row,
        title=cut(caption.get("short") or "no caption", 300),
        long=cut(caption.get("long") or ""),
        origin=cut(caption.get("provenance") or "", 80),
        sound_class=row.get(CLASS) or ("sound" if row.get("has_sound") else "silent"),
        film=clean(Path(row["path"]).name, 80),
        kinds=list(dict.fromkeys(kinds)),
        status="kept" if kept else "dropped",
        reason=reason,
        detail=cut(verdict["detail"] or "", 400),
        lines=[line for line in lines if line.state != NOT_ASKED],
        near="",
        turns=turns_of(row),
        parts=parts_of(caption.get("structured") or ""),
        tellers=tellers_of(caption),
        agreement=agreement_of(row),
        trouble=[],
        sync=sync_of(row),
        scores=numbers_of(row),
        texts=texts_of(row),
    )


def turns_of(row: Row) -> list[Turn]:
    """What is said in a clip, speaker by speaker."""
    try:
        words = parse_words(row.get("word_times"))
        turns = groupby(words, key=lambda word: (word.speaker, word.flagged))
        told = [
            Turn(cut(who or "", 40), cut(" ".join(str(w.text) for w in said)), bool(doubted))
            for (who, doubted), said in turns
        ]
    except (ValueError, TypeError, RecursionError):
        told = []
    if not told and row.get("transcript"):
        told = [Turn("", cut(row["transcript"]), doubted=False)]
    return told


def parts_of(structured: str) -> list[tuple[str, str]]:
    """(tag, words) of a structured caption; what has no tags is one part without a name."""
    found = [(tag, re.search(f"<{tag}>(.*?)</{tag}>", structured, re.DOTALL)) for tag in TAGS]
    parts = [(tag, cut(match[1])) for tag, match in found if match]
    return parts or ([("", cut(structured))] if structured else [])


def tellers_of(caption: Row) -> list[tuple[str, str]]:
    """(who wrote it, fields) of a caption, and what became of a second pass over it."""
    try:
        sources: dict[str, str] = json.loads(caption.get("sources") or "{}")
        found: dict[str, list[str]] = {}
        for name, source in sources.items():
            found.setdefault(cut(source, 80), []).append(cut(name, 40))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return []
    told = [(source, ", ".join(names)) for source, names in found.items()]
    if caption.get("rewrite"):
        why = cut(caption.get("rewrite_detail") or "", 200)
        told.append(("second pass", f"{cut(caption['rewrite'], 40)}{why and f': {why}'}"))
    return told


def agreement_of(row: Row) -> str:
    """How near the caption is to picture and sound, in words; empty where nobody compared them."""
    found = [
        f"{name} {number(float(row[score]))}"
        for name, score in (("picture", "caption_picture"), ("sound", "caption_sound"))
        if row.get(score) is not None
    ]
    by = f" by {cut(row['caption_scorer'], 80)}" if row.get("caption_scorer") else ""
    return f"agrees with {', '.join(found)}{by}" if found else ""


def sync_of(row: Row) -> list[tuple[str, str]]:
    """(measure, what it found) of sound against picture."""
    found = []
    for title, name in (("sync by impacts", "sync"), ("sync by lips", "lip")):
        offset, sure = row.get(f"{name}_offset_ms"), row.get(f"{name}_confidence")
        if offset is None:
            continue
        side = "behind" if offset > 0 else "ahead of"
        told = f"sound {number(abs(offset))} ms {side} the picture"
        if sure is not None:
            told += f", confidence {number(sure)} sigmas"
        found.append((title, told))
    return found or [("sync", "offset not available")]


def numbers_of(row: Row) -> list[tuple[str, str, str]]:
    """(score, value, unit) of all numbers that are there."""
    return [
        (name, number(float(row[name])), ALL_SCORES[name].unit)
        for name in NUMERIC
        if row.get(name) is not None
    ]


def texts_of(row: Row) -> list[tuple[str, str]]:
    """(name, words) of all names that are there."""
    names = [name for name in TEXTS if name not in SAID and row.get(name)]
    return [(name, cut(str(row[name]), 200)) for name in names]


def cut(text: Any, most: int = TEXT_CHARS) -> str:  # noqa: ANN401 - whatever a table holds
    """A stranger's text as one printable line of bounded length, with a mark where it was cut."""
    line = clean(str(text), most + 1)
    return line if len(line) <= most else line[:most] + "…"
