"""The report: one file that loads nothing, runs nothing and shows what the ledger says."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from jobs.config import make_recipe
from jobs.report import run
from jobs.report.facts import gather
from jobs.report.media import Budget
from jobs.report.page import render
from jobs.report.proof import Proof
from pipelines.ledger import Ledger
from pipelines.policy import Policy
from tests.jobs.report.run import build, train

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
    "\u202egnp.exe\u2066\u05d0\u05d1\u05d2",  # turns the text around it
    "a\x00b\x1b[31m\ud7ff\ufffe",
    "</text><script>alert(1)</script><text>" + "w" * 10_000,
]


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
            value
            for name, value in attrs
            if name in {"src", "href", "srcset", "action", "poster", "data", "background"}
        ]

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    recipe = build(tmp_path_factory.mktemp("run"))
    train(recipe)
    return recipe


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
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        "default-src 'none'; script-src 'none'; img-src data:; media-src data:; "
        f"style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    found = Page(page)
    assert all(link.startswith(("data:", "#")) for link in found.links)
    tags = {tag for tag, _ in found.skeleton}
    assert not tags & {"script", "iframe", "object", "embed", "link", "base", "form"}
    names = {name for _, names in found.skeleton for name in names}
    assert "style" not in names  # the policy would not let it through
    assert not any(name.startswith("on") for name in names)
    assert "url(" not in style
    assert "@import" not in style


def test_media_play(page):
    """Videos that are there but empty, or that are no mp4 with sound."""
    videos = re.findall(r'src="data:video/mp4;base64,([^"]+)"', page)
    assert len(videos) >= 6 + 6
    for video in videos:
        data = base64.b64decode(video)
        assert data[4:8] == b"ftyp"
        assert b"mp4a" in data


def test_numbers_are_the_ledgers(page, recipe):
    """A funnel whose numbers are not those of the verdicts."""
    text = " ".join(" ".join(Page(page).words).split())
    assert "5 of 6" in text  # one clip stands still
    assert "corrupt" in text
    verdicts = Ledger(recipe.data.ledger).read("verdicts/" + name_of(recipe)).to_pylist()
    kept = [row for row in verdicts if row["status"] == "ok"]
    assert f"{len(kept) * 2.125 / 3600:.4f}" in text
    assert "are not those of this recipe's policy" not in text


def name_of(recipe) -> str:
    tables = [name for name in Ledger(recipe.data.ledger).tables() if name.startswith("verdicts/")]
    assert len(tables) == 1
    return tables[0].removeprefix("verdicts/")


def test_a_dropped_card_says_why(page):
    """A clip that is shown as dropped, and nobody can say which rule or by how much."""
    cards = re.findall(r'<article class="card[^"]* k-dropped.*?</article>', page, re.DOTALL)
    assert len(cards) == 1
    words = " ".join(" ".join(Page(cards[0]).words).split())
    assert "frozen_share : frozen_share 0.9 > 0.6" in words
    assert "✕ frozen_share 0.9 > 0.6" in words
    assert "sound 40 ms behind the picture, confidence 3.5 sigmas" in words
    assert 'class="sound"' in cards[0]
    assert 'class="strip"' in cards[0]
    assert "<video" in cards[0]


def test_a_policy_that_was_not_decided_yet_is_said(tmp_path):
    """Verdicts of another policy than the recipe's passing for its own."""
    recipe = build(tmp_path, films=2)
    stricter = recipe.model_copy(
        update={"policy": Policy(rules=[{"score": "motion", "min": 0.15}])}
    )
    text = render(gather(stricter))[0]
    assert "are not those of this recipe's policy" in text
    assert "motion 0.1 &lt; 0.15" in text


def test_proof_prints_both_numbers(rendered):
    """A sync number without the chance level beside it."""
    page, proof = rendered
    assert proof.generated.matched > proof.generated.shuffled + 0.2
    assert proof.real.matched == pytest.approx(proof.generated.matched)  # they are the same films
    assert f"{100 * proof.generated.matched:.1f} %" in page
    assert f"{100 * proof.generated.shuffled:.1f} %" in page


@pytest.mark.hostile
@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_texts_cannot_change_the_page(tmp_path, payload):
    """A caption, a licence, a prompt, a file name or a detail that becomes markup (S16)."""
    pages = []
    for name, text in (("calm", "x" * len(payload)), ("wild", payload)):
        recipe = build(tmp_path / name, text, films=2)
        train(recipe, text)
        pages.append(render(gather(recipe))[0])
    calm, wild = map(Page, pages)
    assert wild.skeleton == calm.skeleton
    assert all(link.startswith(("data:", "#")) for link in wild.links)
    assert not re.search("[\x00\x1b\u202a-\u202e\u2066-\u2069]", pages[1])
    assert len(pages[1]) < len(pages[0]) + 100_000


def test_empty_run_has_a_page(tmp_path):
    """A report before the first scan ending in a trace."""
    recipe = make_recipe({"name": "empty", "out": str(tmp_path)}, "test")
    assert run(recipe, []) == 0
    assert "empty" in (tmp_path / "report.html").read_text()


def test_damaged_media_are_named(tmp_path):
    """One bad clip taking the whole report with it."""
    other = build(tmp_path, films=2)
    train(other)
    (tmp_path / "clips/clip-0.mp4").write_bytes(b"not a film")
    (tmp_path / "films/film-00001.mp4").unlink()
    text = render(gather(other))[0]
    assert "format_not_allowed" in text
    assert "unreadable" in text


def test_budget_is_kept_and_said(tmp_path, monkeypatch):
    """A page of gigabytes, or media left out without a word."""
    monkeypatch.setattr("jobs.report.page.Budget", lambda: Budget(left=20_000))
    text = render(gather(build(tmp_path, films=2)))[0]
    assert len(re.findall(r"base64,([^\"]+)", text)) > 0
    assert sum(map(len, re.findall(r"base64,([^\"]+)", text))) <= 20_000 + 8
    assert "did not fit the page" in text


def test_a_page_of_many_clips_stays_small_and_the_same(tmp_path):
    """A report that grows with the data, or that shows other clips each time."""
    recipe = build(tmp_path, films=2)
    many(recipe, 3_000)
    first, second = gather(recipe), gather(recipe)
    pages = [render(facts)[0] for facts in (first, second)]
    shown = [re.findall(r"<code>([0-9a-f]{16}-\d+-\d+)</code>", page) for page in pages]
    assert shown[0] == shown[1]
    assert len(shown[0]) < 120
    assert len(pages[0]) < 2_000_000


def many(recipe, count: int) -> None:
    """Clips without films."""
    ledger, scan = Ledger(recipe.data.ledger), recipe.scan.fingerprint()
    rng = np.random.default_rng(0)
    film = {"source_id": "f" * 16, "path": "/nowhere.mp4", "fingerprint": scan}
    ledger.append("sources", [film | {"status": "ok", "clips": count, "bytes": 1, "mtime_ns": 1}])
    ids = [f"{'f' * 16}-{k * 1000}-{k * 1000 + 900}" for k in range(count)]
    facts = {"fps": 24.0, "width": 640, "height": 360, "split": "train", "has_audio": True}
    ledger.append(
        "clips",
        [film | facts | {"clip_id": i, "start_s": k * 1.0, "end_s": k + 0.9}
         for k, i in enumerate(ids)],
    )  # fmt: skip
    values = rng.random((count, 3)).tolist()
    names = ("frozen_share", "silence_share", "motion")
    rows = [
        {"clip_id": i} | dict(zip(names, v, strict=True)) for i, v in zip(ids, values, strict=True)
    ]
    ledger.append(f"scores/scan@{scan}", rows)
