"""All scores of one clip. What cannot be measured is null, and a missing model is said once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from curation.assets import MissingModelError
from curation.judges import heard, lips, pictures
from curation.judges.config import JudgeConfig
from curation.judges.evidence import Evidence, Tools
from curation.judges.vectors import Floats, cosine
from curation.media import MediaReader
from curation.progress import say
from curation.records import clean
from curation.sound import onsets
from jobs.evaluate_config import Networks
from jobs.evaluating import motion
from jobs.evaluating.clips import RATE, Watched
from jobs.evaluating.features import Features, Tagger, windows
from jobs.evaluating.kept import kept_scores, read_kept
from jobs.evaluating.metrics import listed
from jobs.evaluating.networks import Loaded
from jobs.evaluating.spoken import Listener, word_error_rate
from jobs.evaluating.timing import timing_scores

Scores = dict[str, float | None]
SILENT = 10 ** (heard.SILENT_DB / 20)  # peak


@dataclass
class Bench:
    """The networks of an evaluation, loaded when first asked; which are missing, by their duty."""

    config: JudgeConfig
    reader: MediaReader
    networks: Loaded = field(default_factory=lambda: Loaded(Networks()))
    missing: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tools, self.listener = Tools(self.config), Listener()
        self.meanings: dict[str, Floats] = {}
        given = {name for name in Networks.model_fields if getattr(self.networks.config, name)}
        judged = {"clip": self.config.clip.name, "lips": self.config.lips.path}
        self.metrics = listed(given | {name for name, file in judged.items() if file})

    @cached_property
    def tagger(self) -> Tagger:
        """YAMNet with its features."""
        return Tagger()

    def ask(self, duty: str, work: Callable[[], Scores]) -> Scores:
        """Some scores, or none without their model; the first time that is said."""
        if duty in self.missing:
            return {}
        try:
            return work()
        except (MissingModelError, ImportError) as error:
            self.missing[duty] = clean(str(error), 300)
            say(f"evaluate: no {duty}: {error}")
            return {}

    def meaning(self, prompt: str) -> Floats:
        """MiniLM's vector of a prompt."""
        if prompt not in self.meanings:
            from curation.judges.words import sentence_vectors  # noqa: PLC0415 - transformers

            self.meanings[prompt] = sentence_vectors([prompt])[0]
        return self.meanings[prompt]


def score(bench: Bench, seen: Watched) -> tuple[Scores, Features]:
    """Every metric of a clip, null where it cannot be measured, and what sets are compared by."""
    evidence = Evidence(seen.seen(), bench.tools, bench.config)
    features = Features()
    found: Scores = dict.fromkeys(metric.name for metric in bench.metrics if not metric.of_set)
    found |= timing_scores(seen)
    found |= {
        "temporal_flickering": motion.flickering(seen.pixels),
        "motion_smoothness": motion.smoothness(seen.pixels),
        "dynamic_degree": motion.dynamic(seen.pixels, seen.fps),
    }
    found |= bench.ask("kept regions", lambda: kept(bench, seen))
    found |= bench.ask("frames", lambda: frames(bench, seen, features))
    found |= bench.ask("looks", lambda: columns(pictures.looks(evidence), found))
    found |= bench.ask("prompt and picture", lambda: text_picture(bench, seen, evidence))
    found |= from_files(bench.networks, seen, features)
    if not hears(seen):
        return finite(found), features
    found |= bench.ask("sound", lambda: sound(bench, seen, features))
    found |= bench.ask("speech quality", lambda: columns(heard.voice(evidence), found))
    found |= bench.ask("agreement", lambda: columns(heard.agree(evidence), found))
    found |= bench.ask("lips", lambda: columns(lips.judge(evidence), found))
    found |= bench.ask("prompt and sound", lambda: text_sound(bench, seen, evidence))
    found |= bench.ask("speech", lambda: spoken(bench, seen))
    return finite(found), features


def finite(found: Scores) -> Scores:
    """Without NaN and infinity, which say as little as null: BRISQUE's of a black frame."""
    there = {name: value for name, value in found.items() if value is not None}
    return found | {name: None for name, value in there.items() if not np.isfinite(value)}


def hears(seen: Watched) -> bool:
    """Whether there is any sound."""
    return seen.sound is not None and bool(seen.sound.size) and np.abs(seen.sound).max() >= SILENT


def columns(row: dict[str, Any], wanted: Scores) -> Scores:
    """The numbers of a judge's row that are metrics."""
    return {name: value for name, value in row.items() if name in wanted}


def kept(bench: Bench, seen: Watched) -> Scores:
    """What was kept of what was given."""
    there = read_kept(bench.reader, seen.clip)
    if there is None:
        return {}
    found = kept_scores(there)
    if bench.networks.config.lpips:
        found["kept_lpips"] = bench.networks.lpips(there)
    return found


def frames(bench: Bench, seen: Watched, features: Features) -> Scores:
    """How alike the frames' features are; they are kept for the distance of sets."""
    found = bench.tools.efficientnet(seen.sparse).features
    features.rows["frames"] = windows(found)
    return {"frame_consistency": motion.consistency(found)}


def sound(bench: Bench, seen: Watched, features: Features) -> Scores:
    """Nothing of the clip alone: what its sound is compared by."""
    assert seen.sound is not None
    features.onsets = onsets(seen.sound.astype(np.float64), RATE)
    features.rows["sound"], features.logits["sound"] = bench.tagger(seen.sound)
    return {}


def from_files(networks: Loaded, seen: Watched, features: Features) -> Scores:
    """What the recipe's own networks say of a clip."""
    there, found, prompt = networks.config, Scores(), seen.clip.prompt
    if there.dino:
        found["subject_consistency"] = motion.consistency(networks.pictures("dino", seen.sparse))
    if there.clip_image:
        units = networks.pictures("clip_image", seen.sparse)
        found["background_consistency"] = motion.consistency(units)
    if there.fvd:
        features.rows["fvd"] = networks.fvd(seen)
    if not hears(seen):
        return found
    assert seen.sound is not None
    if there.desync:
        found["desync_s"] = networks.desync(seen)
    if there.clap and prompt:
        found["clap_score"] = networks.clap(prompt, seen.sound)
    if there.sound:
        rows, logits = networks.sound(seen.sound)
        features.rows["sound_net"], features.logits["sound_net"] = rows, logits
    return found


def text_picture(bench: Bench, seen: Watched, evidence: Evidence) -> Scores:
    """Cosine of the prompt's meaning and the meaning of what is seen, by ConSE."""
    prompt = seen.clip.prompt
    if not prompt:
        return {}
    meant = bench.tools.meanings.things(evidence.things.probabilities)
    found: Scores = {"text_picture": cosine(meant, bench.meaning(prompt))}
    if clip := bench.tools.clip:
        found["clip_score"] = float((clip.features(evidence.stills) @ clip.text(prompt)).mean())
    return found


def text_sound(bench: Bench, seen: Watched, evidence: Evidence) -> Scores:
    """The same of what is heard."""
    if not seen.clip.prompt:
        return {}
    meant = bench.tools.meanings.sounds(evidence.events.probabilities)
    return {"text_sound": cosine(meant, bench.meaning(seen.clip.prompt))}


def spoken(bench: Bench, seen: Watched) -> Scores:
    """Words that were asked for."""
    assert seen.sound is not None
    return {"wer": word_error_rate(bench.listener, seen.clip.prompt, seen.sound)}
