"""The caption pass over a ledger whose films have sidecars, manifest words, or neither."""

import json

from pipelines.caption import CaptionConfig, caption
from pipelines.ledger import Ledger

FP = "f" * 12


def ledger_of(folder, films):
    ledger = Ledger(folder / "ledger")
    for name, words in films.items():
        path = str(folder / name)
        ledger.append("sources", [{"path": path, "source_id": name, "status": "ok", "clips": 2,
                                   "caption": words, "fingerprint": FP}])  # fmt: skip
        ids = [f"{name}-{i}" for i in range(2)]
        ledger.append("clips", [
            {"clip_id": c, "source_id": name, "path": path, "start_s": 2.0 * i,
             "end_s": 2.0 * i + 2, "fingerprint": FP} for i, c in enumerate(ids)
        ])  # fmt: skip
        ledger.append(f"scores/scan@{FP}", [{"clip_id": c, "colours": "blue"} for c in ids])
    return ledger


def test_origins_are_taken_in_order_and_named(tmp_path):
    """Words of a stranger that pass for measured ones, or a clip without any."""
    ledger = ledger_of(
        tmp_path, {"side.mp4": "from the list", "list.mp4": "from the list", "none.mp4": None}
    )
    segments = [{"start": 0, "end": 2, "short": "first"}, {"start": 2, "end": 4, "short": "second"}]
    (tmp_path / "side.captions.json").write_text(json.dumps({"segments": segments}))
    tally = caption(CaptionConfig(), ledger, FP)
    rows = {r["clip_id"]: r for r in ledger.rows(f"scores/caption@{CaptionConfig().fingerprint()}")}
    assert tally.status["ok"] == len(rows) == 6
    assert [rows[f"side.mp4-{i}"]["short"] for i in range(2)] == ["first", "second"]
    assert rows["list.mp4-0"]["provenance"] == "manifest"
    assert rows["none.mp4-1"]["provenance"] == "evidence"
    assert all(r["structured"].startswith("<text>") for r in rows.values())


def test_a_broken_sidecar_is_counted_and_a_mended_one_is_read(tmp_path):
    """Bad JSON that ends the pass, or a caption that never follows its changed sidecar."""
    ledger = ledger_of(tmp_path, {"a.mp4": None})
    (tmp_path / "a.captions.json").write_text("{broken")
    tally = caption(CaptionConfig(), ledger, FP)
    assert (tally.status["ok"], tally.reasons["bad_caption"]) == (2, 2)
    (tmp_path / "a.captions.json").write_text(json.dumps({"long": "A dog."}))
    caption(CaptionConfig(), ledger, FP)
    rows = ledger.rows(f"scores/caption@{CaptionConfig().fingerprint()}")
    assert {r["long"] for r in rows} == {"A dog."}


def test_no_words_is_a_failure_when_evidence_is_not_wanted(tmp_path):
    """Empty captions in the training set."""
    config = CaptionConfig(prefer=("sidecar",))
    tally = caption(config, ledger_of(tmp_path, {"a.mp4": "x"}), FP)
    assert (tally.status["failed"], tally.rejected) == (2, 1.0)


def test_flagged_words_reach_no_caption(tmp_path):
    """A flag that the pass does not read, so that invented words are quoted all the same."""
    ledger = ledger_of(tmp_path, {"a.mp4": None})
    words = [["Hello.", 0, 1, 1, None, False], ["Subscribe!", 1, 2, None, None, True]]
    said = {
        "transcript": "Hello. Subscribe!",
        "hallucination": 0.5,
        "word_times": json.dumps(words),
    }
    ledger.append("scores/speech@x", [{"clip_id": "a.mp4-0", **said}])
    caption(CaptionConfig(), ledger, FP, ("scores/speech@x",))
    row, other = ledger.rows(f"scores/caption@{CaptionConfig().fingerprint()}")
    assert '<dialogue>A voice says: "Hello."</dialogue>' in row["structured"]
    assert "Subscribe" not in json.dumps(row)
    assert "<dialogue></dialogue>" in other["structured"]


def test_only_kept_clips_are_captioned_and_all_are_counted(tmp_path):
    """Words for what a policy dropped, clips that no count has, or words lost to another policy."""
    ledger = ledger_of(tmp_path, {"a.mp4": "x", "b.mp4": "y", "c.mp4": "z"})
    config = CaptionConfig()
    table = f"scores/caption@{config.fingerprint()}"
    ok, no = {"status": "ok"}, {"status": "filtered", "reason": "policy:motion"}
    ledger.append("verdicts/all", [{"clip_id": "a.mp4-0", **ok}, {"clip_id": "a.mp4-1", **no},
                                   {"clip_id": "b.mp4-0", **no}])  # fmt: skip
    ledger.append("verdicts/high", [{"clip_id": "a.mp4-0", **no}, {"clip_id": "a.mp4-1", **ok},
                                    {"clip_id": "b.mp4-0", **no}])  # fmt: skip
    tally = caption(config, ledger, FP, verdicts=("verdicts/all", "verdicts/high"))
    assert tally.total == 6
    assert tally.status == {"ok": 2, "filtered": 1, "skipped": 3}
    assert tally.reasons == {"policy": 1, "no verdict": 3}
    assert [row["clip_id"] for row in ledger.rows(table)] == ["a.mp4-0", "a.mp4-1"]
    ledger.append("verdicts/other", [{"clip_id": "c.mp4-0", **ok}])
    caption(config, ledger, FP, verdicts=("verdicts/other",))
    assert len(ledger.rows(table)) == 3, "the first policy's set lost its words"
