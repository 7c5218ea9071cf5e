"""Text from media is data, to the captioner as well (S15)."""

import json

import numpy as np
import pyarrow as pa
import pytest

from curation.captions.answer import AnswerError, Desk, Reply
from curation.captions.description import ADDRESS, TOKEN
from curation.captions.request import EVIDENCE, Request, Seen, evidence, messages, quoted_data
from pipelines.caption import caption
from pipelines.caption_config import CaptionConfig
from pipelines.ledger import SCHEMAS
from tests.caption_films import FP, fresh, write_films
from tests.caption_server import CaptionServer, told
from tests.hostile.injections import INJECTIONS

pytestmark = pytest.mark.hostile
CLIP, NONCE = "0123456789abcdef-0-1000", "0a1b2c3d"
SEEN = Seen((b"\xff\xd8one", b"\xff\xd8two"), (0.25, 0.75), b"RIFF", 1.0)


def test_there_are_sixty_of_them():
    """A list that shrinks unseen."""
    assert len(set(INJECTIONS)) == 60


@pytest.mark.parametrize("number", range(60))
@pytest.mark.parametrize("key", sorted(EVIDENCE))
def test_a_request_is_the_same_outside_the_quoted_field(number, key):
    """A stranger's text among our words, or one that ends the quotation."""
    text = INJECTIONS[number]
    plain = messages(Request(CLIP, NONCE, SEEN, {}))
    data = evidence({key: text})
    evil = messages(Request(CLIP, NONCE, SEEN, data))
    assert evil[0] == plain[0]
    assert evil[1]["content"][:-1] == plain[1]["content"][:-1]
    quoted = evil[1]["content"][-1]["text"]
    assert json.loads(quoted) == {"data": data}
    assert quoted.isprintable()
    assert len(quoted) < 15_000
    assert not set("<>[]|｜`#&") & set(quoted.removeprefix('{"data": '))
    assert TOKEN.search(quoted) is None
    assert quoted_data(data) == quoted


@pytest.mark.parametrize("number", range(60))
def test_an_answer_fits_the_schema_or_is_refused(number):
    """A model that obeys: its answer brings addresses, tags or control tokens into captions."""
    text = INJECTIONS[number]
    grey = [np.full((4, 4, 3), 120, np.uint8)]
    honest = told({"clip_id": CLIP, "nonce": NONCE, "frames": grey, "samples": None, "data": {}})
    for answer in (
        json.dumps(honest | {"scene": text}),
        json.dumps(honest | {"effects": [text]}),
        json.dumps(honest | {"on_screen_text": [text], "speech": spoken(text)}),
        text,
    ):
        desk = Desk()
        desk.open(CLIP, NONCE)
        for value in strings(outcome(desk, answer)):
            assert value.isprintable()
            assert len(value) <= 1_000
            assert ADDRESS.search(value) is None
            assert TOKEN.search(value) is None


def outcome(desk, answer):
    """What is kept of an answer: the description, or why there is none."""
    try:
        return desk.take(Reply(answer), CLIP, NONCE).model_dump()
    except AnswerError as error:
        return {"trouble": error.trouble.value}


def spoken(text):
    return [{"speaker": "a man", "delivery": "", "words": text}]


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from strings(list(value.values()))
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return write_films(tmp_path_factory.mktemp("films"), films=4, parts=8)


@pytest.fixture
def heard(monkeypatch):
    """A score table of what other passes read and heard."""
    columns = pa.schema([(name, pa.string()) for name in ("clip_id", *EVIDENCE)])
    monkeypatch.setitem(SCHEMAS, "scores/heard", columns)


def run(films, folder, server, texts):
    """Statuses and captions of all clips, with `texts` in what was heard and read in them."""
    ledger, truth = fresh(folder, films, parts=8)
    rows = [
        {"clip_id": clip} | dict.fromkeys(EVIDENCE, text)
        for clip, text in zip(sorted(truth), texts, strict=True)
    ]
    ledger.append("scores/heard", rows)
    llm = {"model": "m", "url": server.url, "frames": 1, "short_side": 48, "workers": 1, "tries": 2}
    config = CaptionConfig(prefer=("llm",), llm=llm)
    caption(config, ledger, FP, ("scores/heard",))
    answers = ledger.rows(f"scores/answers@{config.llm.fingerprint()}")
    captions = ledger.rows(f"scores/caption@{config.fingerprint()}")
    return {a["clip_id"]: a["status"] for a in answers}, captions


@pytest.mark.parametrize("half", [0, 1])
def test_what_is_accepted_does_not_depend_on_the_text(films, heard, tmp_path, half):
    """A clip that is dropped, or kept, for what somebody says in it."""
    texts = (INJECTIONS * 2)[32 * half : 32 * half + 32]
    with CaptionServer() as server:
        plain, _ = run(films, tmp_path / "plain", server, ["a word"] * 32)
        evil, captions = run(films, tmp_path / "evil", server, texts)
    assert plain == evil
    assert set(evil.values()) == {"ok"}
    clean(captions)


def test_a_gullible_model_brings_nothing_in(films, heard, tmp_path):
    """The model repeats what it was told to; the schema is the last door."""
    with CaptionServer(default="gullible") as server:
        _, captions = run(films, tmp_path, server, INJECTIONS[:32])
    clean(captions)


def clean(captions):
    for row in captions:
        for variant in ("short", "long", "structured"):
            text = row[variant]
            assert text.isprintable()
            assert ADDRESS.search(text) is None
            assert variant == "structured" or not {"<", ">"} & set(text)
            assert text.count("<dialogue>") == (variant == "structured")
