"""Whether a caption and its clip agree: a cosine for the picture's words, one for the sound's.

With an open_clip model the picture's score is that of CLIPScore (Hessel et al. 2021, arXiv
2104.08718) without its factor: the cosine of words and frames, here the mean over the caption's
sentences against the mean of the judge's stills. Without one, and always for sound, the words are
compared with the names of what the judges saw and heard, by MiniLM. That twin is weak: it knows the
thousand things of ImageNet and the 521 sounds of AudioSet, and no action, place or number.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from curation.judges.config import ClipModel
from curation.judges.vectors import Floats, cosine, unit, unpack
from curation.judges.words import sentence_vectors

SENTENCES = re.compile(r"(?<=[.!?…。！？])\s+")
NAMED = re.compile(r"(.+?) ([01]\.\d\d)(?:, |$)")  # how the judges write `tags` and `events`
PART = r"<{0}>(.*?)</{0}>"
SPEECH, MOST_SENTENCES = "A voice speaks", 16
MINILM = "minilm (weak)"

Row = dict[str, Any]


def told(caption: Row) -> tuple[list[str], list[str]]:
    """(sentences about the picture, sentences about the sound) of a caption's row.

    A typed record gives its fields; else the paired tags of `structured` do. What is said and what
    can be read on screen is left out: it tells of neither. Words made of measurements say nothing
    that could agree or not: both are empty.
    """
    if caption["provenance"] in (None, "evidence"):
        return [], []
    if record := caption.get("record"):
        said = json.loads(record)
        core = " ".join(filter(None, [said["subject"], said["action"]]))
        picture = [core, said["scene"], *said["shots"]]
        sound = [*said["effects"], said["singing"], said["music"], said["ambience"]]
        spoken = bool(said["speech"])
    else:
        text, sfx, dialogue, singing, bgm = (
            part(caption["structured"] or "", tag)
            for tag in ("text", "sfx", "dialogue", "singing", "bgm")
        )
        picture = SENTENCES.split(text)
        sound = [*SENTENCES.split(sfx), singing, bgm]
        spoken = bool(dialogue)
    sound += [SPEECH] if spoken else []
    return some(picture), some(sound)


def part(structured: str, tag: str) -> str:
    """The words between a tag's pair; empty without."""
    found = re.search(PART.format(tag), structured, re.DOTALL)
    return found[1] if found else ""


def some(sentences: Sequence[str]) -> list[str]:
    """Those with words, MOST_SENTENCES at most."""
    return [s for s in (s.strip() for s in sentences) if s][:MOST_SENTENCES]


class Scorer:
    """Compares captions with clips; one a worker, its models loaded when first asked."""

    def __init__(self, clip: ClipModel) -> None:
        """Raises MissingModelError without open_clip where the recipe names a model of it."""
        from curation.judges.things import load_clip  # noqa: PLC0415 - OpenCV; a recipe need not

        self._clip = load_clip(clip, ["thing"]) if clip.name else None
        self.name = f"open_clip {clip.name}" if clip.name else MINILM
        self._names: dict[str, Floats] = {}

    def __call__(self, caption: Row, judged: Row) -> Row:
        """Columns of AGREEMENT; null where the caption or the judges say nothing.

        `judged` has what judges wrote of the clip: `embedding`, `tags`, `events`.
        """
        picture, sound = told(caption)
        found = {
            "caption_picture": self._picture(picture, judged),
            "caption_sound": self._named(sound, judged.get("events")),
        }
        by = self.name if found["caption_picture"] is not None else None
        return found | {"caption_scorer": by}

    def _picture(self, sentences: list[str], judged: Row) -> float | None:
        if self._clip is None:
            return self._named(sentences, judged.get("tags"))
        if not sentences or not judged.get("embedding"):
            return None
        seen = unpack([judged["embedding"]])[0]
        return float(np.mean([cosine(self._clip.text(s), seen) for s in sentences]))

    def _named(self, sentences: list[str], names: str | None) -> float | None:
        """Cosine of the sentences' mean with the names' mean, weighted by probability."""
        known = [(name, float(p)) for name, p in NAMED.findall(names or "")]
        if not sentences or not known:
            return None
        if new := [name for name, _ in known if name not in self._names]:
            self._names |= dict(zip(new, sentence_vectors(new), strict=True))
        found = sum(p * self._names[name] for name, p in known)
        words = sentence_vectors(sentences).mean(axis=0)
        return cosine(unit(words), unit(np.asarray(found)))
