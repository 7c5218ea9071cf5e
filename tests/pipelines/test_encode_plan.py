"""The plan of an encode pass: names and members follow from ids and settings alone."""

import pytest
from pydantic import ValidationError

from model.geometry import AudioSpec, VideoSpec
from pipelines.encode_config import EncodeConfig, Rendition
from pipelines.encode_plan import Inputs, Makers, Task, geometry, kept_clips, make_plan, named
from pipelines.ledger import Ledger

MAKERS = Makers(VideoSpec(), AudioSpec(), 384, "v", "a", "t")
INPUTS = Inputs("scan", "verdicts", "caption")


def clip(number, seconds=2.125):
    end = number + seconds
    return {
        "clip_id": f"{number:016x}-{number * 1000}-{round(end * 1000)}",
        "source_id": f"{number:016x}",
        "path": "x.mp4",
        "start_s": float(number),
        "end_s": end,
        "has_audio": True,
        "split": "train",
        "captions": {"short": "a"},
    }


def test_plan_ignores_workers_and_order():
    """Catches shards whose content depends on parallelism or on the order of the ledger."""
    clips = [clip(n) for n in range(40)]
    first = make_plan(EncodeConfig(shard_clips=16, workers=1), MAKERS, INPUTS, clips)
    second = make_plan(EncodeConfig(shard_clips=16, workers=4), MAKERS, INPUTS, clips[::-1])
    assert first == second
    assert [len(task.clips) for task in first.tasks] == [13, 13, 14]
    assert sorted(c["clip_id"] for t in first.tasks for c in t.clips) == [
        c["clip_id"] for c in clips
    ]
    assert Task.from_row(first.tasks[0].row()) == first.tasks[0]


def test_changed_words_make_another_shard():
    """Latents of words that nobody stands by any more, found under the old name."""
    clips = [clip(n) for n in range(4)]
    plan = make_plan(EncodeConfig(text=("short",)), MAKERS, INPUTS, clips)
    clips[2] |= {"captions": {"short": "b"}}
    other = make_plan(EncodeConfig(text=("short",)), MAKERS, INPUTS, clips)
    assert other.name != plan.name
    assert {t.shard for t in other.tasks}.isdisjoint(t.shard for t in plan.tasks)
    clips[2] |= {"captions": {"short": "b", "long": "not encoded"}}
    assert make_plan(EncodeConfig(text=("short",)), MAKERS, INPUTS, clips).name == other.name


def test_a_crop_makes_another_shard_and_none_keeps_the_name():
    """Latents with black bars found under the name of cropped ones, or all sets encoded anew."""
    clips = [clip(n) for n in range(4)]
    plan = make_plan(EncodeConfig(), MAKERS, INPUTS, clips)
    none = [row | {"crop": None} for row in clips]
    assert [t.shard for t in make_plan(EncodeConfig(), MAKERS, INPUTS, none).tasks] == [
        t.shard for t in plan.tasks
    ]
    clips[2] |= {"crop": [0.1, 0.1, 0.0, 0.0]}
    cropped = make_plan(EncodeConfig(), MAKERS, INPUTS, clips)
    clips[2] |= {"crop": [0.1, 0.2, 0.0, 0.0]}
    other = make_plan(EncodeConfig(), MAKERS, INPUTS, clips)
    assert len({p.tasks[0].shard for p in (plan, cropped, other)}) == 3


@pytest.mark.parametrize("change", ["vae", "text", "rendition", "scan", "caption"])
def test_names_follow_what_made_them(change):
    """Catches latents of other settings found under an old name."""
    clips = [clip(n) for n in range(4)]
    plan = make_plan(EncodeConfig(), MAKERS, INPUTS, clips)
    config, makers, inputs = EncodeConfig(), MAKERS, INPUTS
    if change == "vae":
        makers = Makers(**{**vars(MAKERS), "video_fingerprint": "v2"})
    elif change == "text":
        config = EncodeConfig(text=("short",))
    elif change == "rendition":
        config = EncodeConfig(renditions=(Rendition(width=96),))
    else:
        inputs = Inputs(**{**vars(INPUTS), change: "other"})
    other = make_plan(config, makers, inputs, clips)
    assert other.name != plan.name
    assert {t.shard for t in other.tasks}.isdisjoint(t.shard for t in plan.tasks)


def test_a_policy_names_the_set_but_not_its_shards():
    """Catches re-encoding shards whose clips a changed policy kept all the same."""
    clips = [clip(n) for n in range(4)]
    plan = make_plan(EncodeConfig(), MAKERS, INPUTS, clips)
    other = make_plan(EncodeConfig(), MAKERS, Inputs("scan", "stricter", "caption"), clips)
    assert other.name != plan.name
    assert [t.shard for t in other.tasks] == [t.shard for t in plan.tasks]


@pytest.mark.parametrize(
    ("span", "fps", "most", "frames"),
    [
        (2.125, 8, 17, 17),
        (2.124, 8, 17, 17),  # 17 frames whose end was rounded to milliseconds
        (0.708, 24, 97, 17),
        (2.0, 8, 17, 13),
        (60.0, 16, 81, 81),
        (5.0625, 16, 81, 81),
        (1.0, 1, 1, 1),
    ],
)
def test_frames_of_a_span(span, fps, most, frames):
    """Catches a frame too many (it would show the next shot) or a latent lost to rounding."""
    shape = geometry(Rendition(fps=fps, frames=most), span, MAKERS)
    assert shape.frames == frames
    assert shape.seconds <= span + 1.1e-3
    assert (shape.frames - 0.5) / fps < span


def test_short_clips_are_refused_and_counted():
    """Catches clips that vanish between verdict and shard."""
    clips = [clip(0), clip(1, 0.3), clip(2, 1.2)]
    plan = make_plan(EncodeConfig(), MAKERS, INPUTS, clips)
    assert plan.clips == 3
    assert [f.clip_id for f in plan.refused] == [clips[1]["clip_id"]]
    assert plan.refused[0].reason == "too_short"
    assert sorted(plan.buckets) == ["64x64x17@8", "64x64x9@8"]


def test_renditions_share_a_bucket_name():
    """Catches samples of one bucket whose second rendition differs in shape."""
    config = EncodeConfig(
        renditions=(
            Rendition(),
            Rendition(name="keyframes", height=128, width=128, fps=1, frames=9),
        )
    )
    plan = make_plan(config, MAKERS, INPUTS, [clip(0, 5.2), clip(1, 9.2)])
    assert sorted(plan.buckets) == ["64x64x17@8+128x128x5@1", "64x64x17@8+128x128x9@1"]


def test_stills_take_any_number_of_frames():
    """Catches keyframes cut to whole groups of four, read past the clip's end, or renamed sets."""
    stills = Rendition(name="keyframes", height=128, width=128, fps=1, frames=15, stills=True)
    config = EncodeConfig(renditions=(Rendition(), stills))
    plan = make_plan(config, MAKERS, INPUTS, [clip(0, 3.2), clip(1, 7.2), clip(2, 0.9)])
    assert sorted(plan.buckets) == ["64x64x17@8+128x128x3@1", "64x64x17@8+128x128x7@1"]
    assert [f.detail for f in plan.refused] == ["0.900 s is less than 1 frames of keyframes"]
    shape = plan.buckets["64x64x17@8+128x128x3@1"]["keyframes"]
    assert shape.video_shape[1] == 3
    assert shape.video_times().tolist() == [0.5, 1.5, 2.5]
    plain = Rendition(name="keyframes", height=128, width=128, fps=1, frames=15)
    assert "stills" not in named(plain)
    other = make_plan(EncodeConfig(renditions=(Rendition(), plain)), MAKERS, INPUTS, [clip(0, 9.2)])
    assert other.encode != plan.encode


def test_shards_stay_below_their_bytes():
    """Catches a byte target that is not kept: at 256 px a sample is near 1 MiB."""
    big = EncodeConfig(
        renditions=(Rendition(height=256, width=256, fps=16, frames=81),), shard_mib=8
    )
    plan = make_plan(big, MAKERS, INPUTS, [clip(n, 5.07) for n in range(20)])
    assert max(len(task.clips) for task in plan.tasks) in range(8, 12)


def test_only_kept_clips(tmp_path):
    """Catches filtered clips in the training set, and captions of another clip."""
    ledger = Ledger(tmp_path)
    rows = [clip(n) for n in range(3)]
    facts = ("clip_id", "source_id", "path", "start_s", "end_s", "has_audio", "split")
    ledger.append("clips", [{k: r[k] for k in facts} | {"fingerprint": "scan"} for r in rows])
    ledger.append("clips", [{k: clip(9)[k] for k in facts} | {"fingerprint": "older"}])
    source = {"source_id": "s", "path": "x.mp4", "bytes": 7, "mtime_ns": 8, "fingerprint": "scan"}
    ledger.append("sources", [source])
    status = ["ok", "filtered", "ok"]
    ids = [row["clip_id"] for row in rows]
    pairs = list(zip(ids, status, strict=True))
    ledger.append("verdicts/verdicts", [{"clip_id": i, "status": s} for i, s in pairs])
    ledger.append("scores/caption@caption", [{"clip_id": i, "short": f"of {i}"} for i in ids])
    bars = [{"clip_id": ids[0], "bar_top": 0.1}, {"clip_id": ids[2], "bar_top": 0.0}]
    ledger.append("scores/scan@scan", bars)
    kept = kept_clips(ledger, INPUTS)
    assert [row["crop"] for row in kept] == [[0.1, 0.0, 0.0, 0.0], None]
    assert [row["clip_id"] for row in kept] == [ids[0], ids[2]]
    assert kept[1]["captions"] == {"short": f"of {ids[2]}", "long": None, "structured": None}
    assert (kept[0]["bytes"], kept[0]["mtime_ns"]) == (7, 8)


def test_wrong_settings_are_refused():
    """Catches renditions that overwrite each other, sizes of no whole latent, unknown captions."""
    for wrong in (
        {"renditions": (Rendition(), Rendition())},
        {"renditions": ({"height": 60},)},
        {"renditions": ()},
        {"text": ("title",)},
    ):
        with pytest.raises(ValidationError):
            EncodeConfig(**wrong)
