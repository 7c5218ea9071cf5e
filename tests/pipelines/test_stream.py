"""The training stream is the same walk over the same samples, whoever walks it."""

import os
import time
from collections import Counter
from itertools import islice, pairwise

import numpy as np
import pytest
import torch

from benchmarks.random_shards import encoded, geometry, make_set
from pipelines.contract import check_contract, read_contract
from pipelines.plan_batches import BLOCK_SHARDS, Plan, batch_sizes, epoch_order, permutation
from pipelines.shards import ShardError
from pipelines.stream import Cursor, Stream

CLIPS = {5: 43, 9: 26, 17: 7}  # leftovers in every bucket; 7 < a batch of 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    make_set(folder, CLIPS, val=2)
    return folder


def take(stream, count, cursor=None):
    return list(islice(stream.batches(cursor), count))


def ids(batches):
    return [[(s.clip_id, s.visit) for s in samples] for _, samples in batches]


def epochs(stream, count):
    return sum(stream.length(epoch) for epoch in range(count))


def test_tensors_are_those_written(folder):
    """Catches offsets, slices or tensor names mixed up between samples."""
    for _, samples in take(Stream(folder, seed=1, global_batch=8), 6):
        for sample in samples:
            shape = sample.geometry
            wanted = encoded(sample.info["number"], shape, "train", 12)
            assert wanted.clip_id == sample.clip_id
            assert torch.equal(sample.video, wanted.tensors["base.video"])
            assert set(sample.text) == {"short", "long", "structured"}
            assert torch.equal(sample.text["long"], wanted.tensors["text.long"])
            assert (sample.audio is None) == ("audio" not in wanted.tensors)


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 7, 8, 9])
def test_resume_is_a_seek(folder, stop):
    """Catches a resume that repeats, skips or reorders; stops cover both sides of epoch edges."""
    stream = Stream(folder, seed=3, global_batch=16)
    assert [stream.length(0), epochs(stream, 2)] == [3, 8], "the stops miss the edges"
    straight = take(stream, 12)
    cursor = straight[stop - 1][0]
    again = take(Stream(folder, seed=3, global_batch=16), 12 - stop, cursor)
    assert ids(again) == ids(straight)[stop:]
    assert [c for c, _ in again] == [c for c, _ in straight][stop:]


def test_epoch_end_is_the_next_epoch(folder):
    """Catches (epoch, length) stored at an exact boundary, which resumes into a skipped epoch."""
    stream = Stream(folder, seed=3, global_batch=16)
    cursors = [cursor for cursor, _ in take(stream, epochs(stream, 2))]
    assert cursors[stream.length(0) - 1] == Cursor(1, 0)
    assert cursors[-1] == Cursor(2, 0)
    assert ids(take(stream, 1, Cursor(0, stream.length(0)))) == ids(take(stream, 1, Cursor(1, 0)))
    with pytest.raises(ValueError, match="outside its epoch"):
        take(stream, 1, Cursor(0, stream.length(0) + 1))


@pytest.mark.parametrize("cost", [None, lambda g: g["base"].latent_frames ** 2])
def test_elastic(folder, cost):
    """Catches a plan that depends on the world: the multiset of every global batch must not."""
    walks = {}
    for world in (1, 2, 3, 4, 8):
        ranks = [Stream(folder, 5, 16, rank, world, cost=cost) for rank in range(world)]
        count = epochs(ranks[0], 3)
        slots = [ids(take(stream, count)) for stream in ranks]
        uneven = {max(map(len, step)) - min(map(len, step)) for step in zip(*slots, strict=True)}
        assert uneven <= ({0, 1} if world == 3 else {0})
        walks[world] = [
            Counter(x for slot in step for x in slot) for step in zip(*slots, strict=True)
        ]
    assert walks[1] == walks[2] == walks[3] == walks[4] == walks[8]
    assert len(walks[1]) > 10


def test_world_may_change_mid_epoch(folder):
    """Catches a cursor that only means something to the world that wrote it."""
    straight = [Counter(batch) for batch in ids(take(Stream(folder, 5, 16), 15))]
    walked, cursor = [], Cursor()
    for world in (2, 8, 3, 1, 4):
        parts = [take(Stream(folder, 5, 16, rank, world), 3, cursor) for rank in range(world)]
        walked += [Counter(x for part in parts for x in ids(part)[i]) for i in range(3)]
        cursor = Cursor(**vars(parts[0][-1][0]))
    assert walked == straight


def test_no_sample_is_lost_or_repeated(folder):
    """Catches dropped leftovers: after any epoch every clip was seen as often as any other, but
    for what the next epoch begins with."""
    stream = Stream(folder, seed=2, global_batch=16)
    seen: Counter = Counter()
    cursor, carried = Cursor(), 16 * len(CLIPS)
    for epoch in range(24):
        for batch in ids(take(stream, stream.length(epoch), cursor)):
            for clip, visit in batch:
                assert seen[clip, visit] == 0
                seen[clip, visit] += 1
        cursor = Cursor(epoch + 1, 0)
        total = (epoch + 1) * (sum(CLIPS.values()) - 2 * len(CLIPS))
        assert total - carried < seen.total() <= total
        assert max(visit for _, visit in seen) <= epoch
    visits = {}
    for clip, visit in seen:
        visits.setdefault(clip, set()).add(visit)
    assert len(visits) == sum(CLIPS.values()) - 2 * len(CLIPS)
    assert all(sorted(v) == list(range(len(v))) for v in visits.values())


def test_order_changes_with_epoch_and_seed(folder):
    """Catches an order built once, or a seed that is ignored."""
    stream = Stream(folder, seed=2, global_batch=16)
    first, second = stream.length(0), stream.length(1)
    walk = ids(take(stream, first + second))
    assert walk[:first] != walk[first : 2 * first]
    assert walk[:first] != ids(take(Stream(folder, seed=3, global_batch=16), first))
    assert walk[:first] == ids(take(Stream(folder, seed=2, global_batch=16), first))


def test_buckets_alternate(folder):
    """Catches one bucket after the other, which makes the loss of a long run saw-toothed."""
    stream = Stream(folder, seed=2, global_batch=4)
    count = stream.length(0)
    names = [samples[0].bucket for _, samples in take(stream, count)]
    assert all(len({s.bucket for s in samples}) == 1 for _, samples in take(stream, count))
    changes = sum(a != b for a, b in pairwise(names))
    assert changes > count // 4


def test_split_is_kept_apart(folder):
    """Catches validation clips in the training stream, and the other way round."""
    train = {c for b in ids(take(Stream(folder, 0, 8), 40)) for c, _ in b}
    val = {c for b in ids(take(Stream(folder, 0, 2, split="val"), 12)) for c, _ in b}
    assert len(val) == 2 * len(CLIPS)
    assert not train & val
    with pytest.raises(ValueError, match="no sample of split 'test'"):
        Stream(folder, 0, 8, split="test")


def test_order_is_block_shuffled():
    """Catches a full shuffle (random reads) and no shuffle; each epoch must hold each row once."""
    shards = np.repeat(np.arange(200), 10)
    order = epoch_order(shards, seed=0, epoch=0)
    assert sorted(order) == list(range(2000))
    starts = range(0, 2000, BLOCK_SHARDS * 10)
    assert all(len(set(shards[order[s : s + BLOCK_SHARDS * 10]])) <= BLOCK_SHARDS for s in starts)
    assert len(set(shards[order[:20]])) > 5


def test_order_is_the_same_in_every_version():
    """Catches a change of the order under running trainings: these values are its definition."""
    assert permutation(10, "a", 1, 2).tolist() == [5, 2, 9, 0, 3, 7, 4, 1, 8, 6]


def test_later_epochs_are_computed_from_their_number():
    """Catches a plan that needs the epochs before: epoch 1000 must be as quick as epoch 0."""
    shards = np.repeat(np.arange(100), 100)
    buckets = np.repeat(np.arange(4), 2500)
    walked = Plan(shards, buckets, [48, 32, 96, 16], seed=1)
    for epoch in range(6):
        walked.batch(epoch, 0)
    fresh = Plan(shards, buckets, [48, 32, 96, 16], seed=1)
    last = walked.length(5) - 1
    assert fresh.batch(5, last).rows.tolist() == walked.batch(5, last).rows.tolist()
    start = time.perf_counter()
    Plan(shards, buckets, [48, 32, 96, 16], seed=1).batch(100_000, 3)
    assert time.perf_counter() - start < 1


def test_batches_cost_alike():
    """Catches batch sizes off the budget or off the granularity."""
    costs = [1.0, 2.0, 4.0, 40.0, 1.5]
    sizes = batch_sizes(costs, [900, 50, 50, 50, 50], 64, 4)
    assert sizes == [64, 32, 16, 4, 40]
    assert all(size % 4 == 0 for size in sizes)
    with pytest.raises(ValueError, match="multiple of granularity"):
        batch_sizes([1.0], [1], 10, 4)
    with pytest.raises(ValueError, match="cost must be a positive"):
        batch_sizes([1.0, float("nan")], [1, 1], 8, 4)


def test_impossible_worlds_are_refused(folder):
    """Catches ranks without a sample, and a rank outside its world."""
    with pytest.raises(ValueError, match="world must be 1 to granularity=8"):
        Stream(folder, 0, 16, rank=0, world=9)
    with pytest.raises(ValueError, match="world must be 1 to granularity=8"):
        Stream(folder, 0, 16, rank=2, world=2)


def test_damage_stops_before_training(tmp_path):
    """Catches training on changed bytes: the error names shard and clip, no sample comes first."""
    make_set(tmp_path, {5: 8}, per_shard=8)
    path = next(tmp_path.glob("*.tar"))
    data = bytearray(path.read_bytes())
    data[2000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ShardError, match=rf"{path.stem}.*damaged at clip [0-9a-f]{{16}}-0-"):
        take(Stream(tmp_path, 0, 8), 1)


def test_damage_after_the_first_look(tmp_path):
    """Catches a verified state that outlives the file it was about."""
    make_set(tmp_path, {5: 8}, per_shard=8)
    take(Stream(tmp_path, 0, 8), 1)
    path = next(tmp_path.glob("*.tar"))
    data = bytearray(path.read_bytes())
    data[2000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ShardError, match="damaged"):
        take(Stream(tmp_path, 0, 8), 1)


def test_a_stalled_read_is_named(tmp_path):
    """Catches a hang: a shard that is a pipe never delivers, the error must come and name it."""
    make_set(tmp_path, {5: 8}, per_shard=8)
    path = next(tmp_path.glob("*.tar"))
    path.unlink()
    os.mkfifo(path)
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=path.stem):
        take(Stream(tmp_path, 0, 8, stall_s=0.3), 1)
    assert time.monotonic() - start < 5
    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))  # let the reading thread go


def test_contract_is_refused_by_field(folder):
    """Catches training on latents of another VAE; the message must name each field."""
    contract = read_contract(folder)
    check_contract(contract, {"video_vae": {"fingerprint": "v1"}, "text.dim": 12})
    with pytest.raises(ValueError, match=r"(?s)video_vae\.fingerprint.*v1.*v2.*text\.dim.*12.*99"):
        check_contract(contract, {"video_vae": {"fingerprint": "v2"}, "text.dim": 99})
    with pytest.raises(ValueError, match=r"counts\.ok"):
        check_contract(contract, {**contract, "counts": {**contract["counts"], "ok": 1}})


def test_geometry_comes_from_the_contract(folder):
    """Catches specs lost between encode and train."""
    _, samples = take(Stream(folder, 0, 8), 1)[0]
    assert samples[0].geometry == geometry(samples[0].geometry.frames, 16, 4)
