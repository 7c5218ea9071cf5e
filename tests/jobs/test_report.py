"""The report: one file that loads nothing, runs nothing and shows what the ledger says."""

import base64
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from curation.files import write_json
from curation.media import MediaReader
from curation.media_write import write_clip
from curation.world.config import WorldConfig
from curation.world.films import write_films
from jobs.config import Recipe, make_recipe
from jobs.report import charts, run
from jobs.report.facts import gather, margin
from jobs.report.media import LONGEST_S, Budget, show_span
from jobs.report.page import render
from jobs.report.proof import Proof
from pipelines.ledger import Ledger
from pipelines.verdicts import decide

PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</style><script>alert(1)</script>",
    "</title><base href=//example.invalid>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% for x in y %}",
    "<!--<iframe src=http://example.invalid>",
    "&lt;script&gt;",
    "]]><x:script xmlns:x='http://www.w3.org/1999/xhtml'>alert(1)</x:script>",
]
RULES = [{"score": "frozen_share", "max": 0.6}, {"score": "silence_share", "max": 0.95}]
PLAIN = "a red ball falls and bounces"


class Page(HTMLParser):
    """Elements and attribute names in order, and everything that would be loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.skeleton: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.skeleton.append((tag, tuple(name for name, _ in attrs)))
        self.links += [
            value for name, value in attrs if name in {"src", "href", "srcset", "action"}
        ]

    def handle_data(self, data):
        self.words.append(data)


def build(out: Path, text: str = PLAIN, films: int = 6) -> Recipe:
    """A small run: real films, a ledger with kept, dropped and refused, a log, generated clips."""
    values = {"name": "trial", "out": str(out), "policy": {"rules": RULES}}
    recipe = make_recipe(values, "test")
    paths = write_films(WorldConfig(films=films), out / "films")
    ledger = Ledger(recipe.data.ledger)
    scan, told = recipe.scan.fingerprint(), recipe.caption.fingerprint()
    clips, scores, captions, sources = [], [], [], []
    for index, path in enumerate(paths):
        clip_id = f"{index:016x}-0-2125"
        shared = {"source_id": f"{index:016x}", "path": str(path), "fingerprint": scan}
        sources.append(shared | {"status": "ok", "clips": 1, "bytes": 1})
        span = {"start_s": 0.0, "end_s": 2.125, "frames": 17, "fps": 8.0, "width": 64, "height": 64}
        facts = {"has_audio": True, "drift_ms": 0.0, "shot": 0, "split": "train"}
        clips.append({"clip_id": clip_id} | shared | span | facts)
        scores.append(
            {"clip_id": clip_id, "has_sound": 1.0, "silence_share": 0.1 * index, "contrast": 0.1}
            | {"clipped_share": 0.0, "black_share": 0.0, "frozen_share": 0.9 if index == 1 else 0.1}
            | {"bars": 0.0, "brightness": 0.5, "motion": index / 10}
        )
        captions.append(
            {"clip_id": clip_id, "short": text, "long": text, "structured": text}
            | {"provenance": text}
        )
    refused = {"source_id": None, "status": "failed", "clips": 0, "bytes": 0, "fingerprint": scan}
    name = text.replace("/", "_")
    sources.append(refused | {"path": f"/films/{name}", "reason": "corrupt", "detail": text})
    ledger.append("sources", sources)
    ledger.append("clips", clips)
    ledger.append(f"scores/scan@{scan}", scores)
    ledger.append(f"scores/caption@{told}", captions)
    decide(recipe.policy, ledger, scan)
    lines = [
        {"kind": "step", "step": k, "time": float(k), "loss": 2.0 / (1 + k / 20), "loss/video": 1.0,
         "loss/audio": 1.0, "task/text_to_av/video": 1.0, "level/0/video": 1.5}
        for k in range(1, 101)
    ]  # fmt: skip
    (out / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for index, path in enumerate(paths):
        clip = out / "clips" / f"clip-{index}.mp4"
        clip.parent.mkdir(exist_ok=True)
        clip.write_bytes(path.read_bytes())
        write_json(clip.with_suffix(".json"), {"prompt": text, "seed": index})
    return recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Recipe:
    return build(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def rendered(recipe) -> tuple[str, Proof]:
    page, proof = render(gather(recipe))
    assert proof is not None
    return page, proof


@pytest.fixture(scope="module")
def page(rendered) -> str:
    return rendered[0]


def test_page_is_one_closed_file(page):
    """A page that loads from elsewhere, or that stays blank where it cannot."""
    policy = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
    assert policy in page
    found = Page(page)
    assert all(link.startswith(("data:", "#")) for link in found.links)
    tags = {tag for tag, _ in found.skeleton}
    assert not tags & {"script", "iframe", "object", "embed", "link", "base", "form"}
    assert not any(name.startswith("on") for _, names in found.skeleton for name in names)
    assert "url(" not in page
    assert "@import" not in page


def test_media_play(page):
    """Videos that are there but empty, or that are no mp4 with sound."""
    videos = re.findall(r'src="data:video/mp4;base64,([^"]+)"', page)
    assert len(videos) >= 6 + 5
    for video in videos:
        data = base64.b64decode(video)
        assert data[4:8] == b"ftyp"
        assert b"mp4a" in data


def test_numbers_are_the_ledgers(page, recipe):
    """A funnel whose numbers are not those of the verdicts."""
    text = " ".join(" ".join(Page(page).words).split())
    assert "5 of 6" in text  # one clip stands still
    assert "policy:frozen_share" in text
    assert "frozen_share 0.9 > 0.6" in text
    assert "corrupt" in text
    rows = [clip for clip in gather(recipe).clips if clip["verdict"]["status"] == "ok"]
    assert f"{sum(clip['seconds'] for clip in rows) / 3600:.4f}" in text


def test_proof_prints_both_numbers(rendered):
    """A sync number without the chance level beside it."""
    page, proof = rendered
    assert proof.generated.matched > proof.generated.shuffled + 0.2
    assert proof.real.matched == pytest.approx(proof.generated.matched)  # they are the same films
    assert f"{100 * proof.generated.matched:.1f} %" in page
    assert f"{100 * proof.generated.shuffled:.1f} %" in page


@pytest.mark.hostile
@pytest.mark.parametrize("payload", PAYLOADS)
def test_texts_cannot_change_the_page(tmp_path, payload):
    """A caption, a prompt, a file name or a detail that becomes markup (S16)."""
    calm = Page(render(gather(build(tmp_path / "calm", "x" * len(payload), films=2)))[0])
    wild = Page(render(gather(build(tmp_path / "wild", payload, films=2)))[0])
    assert wild.skeleton == calm.skeleton
    assert all(link.startswith(("data:", "#")) for link in wild.links)


def test_empty_run_has_a_page(tmp_path):
    """A report before the first scan ending in a trace."""
    recipe = make_recipe({"name": "empty", "out": str(tmp_path)}, "test")
    assert run(recipe, []) == 0
    assert "empty" in (tmp_path / "report.html").read_text()


def test_damaged_media_are_named(tmp_path):
    """One bad clip taking the whole report with it."""
    other = build(tmp_path, films=2)
    (tmp_path / "clips/clip-0.mp4").write_bytes(b"not a film")
    (tmp_path / "films/film-00001.mp4").unlink()
    text = render(gather(other))[0]
    assert "format_not_allowed" in text
    assert "unreadable" in text


def test_budget_is_kept_and_said(tmp_path, monkeypatch):
    """A page of gigabytes, or media left out without a word."""
    monkeypatch.setattr("jobs.report.page.Budget", lambda: Budget(left=60_000))
    text = render(gather(build(tmp_path, films=2)))[0]
    assert len(re.findall(r"base64,([^\"]+)", text)) > 0
    assert sum(map(len, re.findall(r"base64,([^\"]+)", text))) <= 60_000 + 8
    assert "did not fit the page" in text


def test_borderline_is_nearest_to_a_threshold(recipe):
    """Clips called borderline that lie far from every threshold."""
    facts = gather(recipe)
    far = margin(recipe.policy, facts.clips)
    assert np.isfinite(far).all()
    frozen = np.array([clip["frozen_share"] for clip in facts.clips])
    spread = frozen.std()
    assert far[1] == pytest.approx(abs(0.9 - 0.6) / spread)
    assert np.argmin(far) == 1


def test_curves_are_means_of_spans():
    """A drawn loss that is not the logged one."""
    x = np.arange(1000.0)
    xs, ys = charts.thin(x, x * 2)
    assert len(xs) == charts.POINTS
    assert np.allclose(ys, 2 * xs)
    assert math.isclose(ys.mean(), 999.0, rel_tol=0.01)


def test_charts_of_odd_values():
    """A constant score, or one value, dividing by zero."""
    one, none = np.array([0.3]), np.zeros(0)
    for kept, dropped, limits in ((one, none, []), (one, one, [0.3]), (none, one, [0.1, 0.9])):
        assert "nan" not in charts.histogram(kept, dropped, limits)
    assert charts.curves({"a": (none, none)}, "steps") == ""
    assert "nan" not in charts.waveform(np.zeros(100, np.float32), 1.0, {})
    assert charts.nice(0.7) == 1.0
    assert charts.nice(2.2) == 2.5


def test_odd_sizes_and_long_clips_are_cut_to_fit(tmp_path, recipe):
    """A source of 6 s and odd proportions that ends the report with an encoder's error."""
    pixels = np.random.default_rng(0).integers(0, 255, (80, 90, 150, 3), dtype=np.uint8)
    write_clip(tmp_path / "odd.mp4", pixels, 10.0)
    with MediaReader() as reader:
        shown = show_span(reader, Budget(), tmp_path / "odd.mp4", 0.5, 7.9)
    assert not shown.trouble
    assert LONGEST_S < 7.4
    assert not shown.wave
