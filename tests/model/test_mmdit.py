"""The joint network: its fresh state, its exchange, its masks, its sizes."""

import copy
from dataclasses import replace

import pytest
import torch

from model.config import EXCHANGES, SIZES, ModelConfig, named_config
from model.geometry import Geometry
from model.mmdit import MMDiT, ready, zero_layers
from model.tower import Media, State
from tests.model.helpers import CONFIG, make_media, make_model, tiny_model


def states(model: MMDiT, video: Media, audio: Media) -> tuple[State, State]:
    return model.embed_video(video), model.embed_audio(audio)


def test_fresh_block_is_the_identity():
    """Catches a gate or a new path that does not start at zero."""
    model = make_model()
    before = states(model, *make_media())
    after = model.blocks[0](*before)
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new.media, old.media, rtol=0, atol=0)
        torch.testing.assert_close(new.text, old.text, rtol=0, atol=0)


def test_fresh_model_predicts_zero_velocity():
    """Catches an output head that starts with random velocities."""
    for velocity in make_model()(*make_media()):
        assert not velocity.any()


def test_exchange_starts_closed_and_opens():
    """Catches audio that depends on video at init, or that cannot depend on it later."""
    model = make_model()
    wake(model, exchange=False)
    video, audio = make_media()
    other = replace(video, latent=video.latent + 1)
    assert torch.equal(model(video, audio)[1], model(other, audio)[1])
    wake(model, exchange=True)
    assert not torch.allclose(model(video, audio)[1], model(other, audio)[1])


def wake(model: MMDiT, exchange: bool) -> None:
    """Fill the zero layers of the exchange, or all the others."""
    paths = {id(b.audio_reads_video.out) for b in model.blocks}
    paths |= {id(b.video_reads_audio.out) for b in model.blocks}
    for layer in zero_layers(model):
        if (id(layer) in paths) is exchange:
            torch.nn.init.normal_(layer.weight, std=0.3)


def test_video_reads_the_updated_audio():
    """Catches an exchange in which both sides read the state before it (Ovi's order)."""
    model = make_model(awake=True)
    block = model.blocks[0]
    video, audio = states(model, *make_media())
    normal = block(video, audio)[0].media
    block.audio_reads_video.out.weight.data.mul_(2)  # changes video only through the audio
    assert not torch.allclose(block(video, audio)[0].media, normal)


@pytest.mark.parametrize("order", EXCHANGES)
def test_the_order_of_exchange_says_whose_news_the_other_reads(order):
    """Catches an ablation that runs the paper's order under another name."""
    model = make_model(awake=True, exchange=order)
    block = model.blocks[0]
    video, audio = states(model, *make_media())
    before = block(video, audio)
    told = {}
    for name, path in (("video", "audio_reads_video"), ("audio", "video_reads_audio")):
        if order == "none":
            assert not hasattr(block, path)
            continue
        own = copy.deepcopy(block)
        getattr(own, path).out.weight.data.mul_(2)  # reaches this tower through the other one alone
        after = own(video, audio)[0 if name == "video" else 1]
        told[name] = not torch.equal(after.media, before[0 if name == "video" else 1].media)
    wanted = {"audio_first": "video", "video_first": "audio"}.get(order)
    assert told == ({} if order == "none" else {name: name == wanted for name in told})
    other = replace(video, media=video.media + 1)
    assert torch.equal(block(other, audio)[1].media, before[1].media) is (order == "none")


@pytest.mark.parametrize("drop", ["video", "audio"])
def test_tower_without_input_is_skipped(drop):
    """Catches an absent tower that still runs, fails, or leaks into the other one."""
    model = make_model(awake=True)
    video, audio = make_media()
    for block in model.blocks:  # closed exchange: both together must equal each alone
        for path in (block.audio_reads_video, block.video_reads_audio):
            torch.nn.init.zeros_(path.out.weight)
            torch.nn.init.zeros_(path.out.bias)
    both = model(video, audio)
    alone = model(None, audio) if drop == "video" else model(video, None)
    kept, gone = (1, 0) if drop == "video" else (0, 1)
    assert alone[gone] is None
    torch.testing.assert_close(alone[kept], both[kept])


def test_no_input_is_an_error():
    """Catches a silent empty forward pass."""
    with pytest.raises(ValueError, match="video, an audio or both"):
        make_model()(None, None)


def test_padded_text_changes_nothing():
    """Catches attention or pooling that sees padding."""
    model = make_model(awake=True)
    video, audio = make_media()

    def padded(media: Media, value: float) -> Media:
        more = torch.full((2, 3, 12), value)
        mask = torch.cat([media.text_mask, torch.zeros(2, 3, dtype=torch.bool)], dim=1)
        return replace(media, text=torch.cat([media.text, more], dim=1), text_mask=mask)

    plain = model(video, audio)
    for value in (0.0, 100.0):
        got = model(padded(video, value), padded(audio, value))
        for a, b in zip(plain, got, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_dropped_text_is_one_learned_token():
    """Catches unconditional rows that still see their text, or differ from having none at all."""
    model = make_model(awake=True)
    video, audio = make_media()
    none = torch.zeros_like(video.text_mask)
    dropped = model(replace(video, text_mask=none), replace(audio, text_mask=none))
    empty = {"text": video.text[:, :0], "text_mask": video.text_mask[:, :0]}
    absent = model(replace(video, **empty), replace(audio, **empty))
    for a, b, c in zip(dropped, absent, model(video, audio), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(a, c)


def test_rows_of_a_batch_are_independent():
    """Catches any mixing across the batch."""
    model = make_model(awake=True)
    video, audio = make_media(batch=3)
    order = torch.tensor([2, 0, 1])

    def shuffled(m: Media) -> Media:
        names = ["latent", "t", "text", "text_mask", "condition", "mask"]
        there = {n: getattr(m, n)[order] for n in names if getattr(m, n) is not None}
        return replace(m, **there)

    plain, got = model(video, audio), model(shuffled(video), shuffled(audio))
    for a, b in zip(plain, got, strict=True):
        torch.testing.assert_close(a[order], b, rtol=1e-4, atol=1e-5)


def test_a_shift_of_both_clocks_changes_nothing_in_the_exchange():
    """Catches absolute time sneaking into the exchange: only time differences may count.

    (Joint attention sees absolute time by design: text stands at position 0.)
    """
    model = make_model(awake=True)
    read = model.blocks[0].audio_reads_video
    video, audio = make_media()
    plain = states(model, video, audio)
    later = states(model, *(replace(m, times=m.times + 7.5) for m in (video, audio)))
    one = states(model, video, replace(audio, times=audio.times + 7.5))
    outs = [
        read(a.media, v.media, (a.rotation_time, v.rotation_time)) for v, a in (plain, later, one)
    ]
    torch.testing.assert_close(outs[0], outs[1], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(outs[0], outs[2], rtol=1e-3, atol=1e-4)


def test_a_shift_of_one_clock_changes_the_exchange():
    """Catches an exchange that is blind to time: sound could not find its impact."""
    model = make_model(awake=True)
    video, audio = make_media()
    shifted = model(video, replace(audio, times=audio.times + 0.3))
    for a, b in zip(model(video, audio), shifted, strict=True):
        assert not torch.allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("cross", [True, False])
def test_text_cross_attention_of_the_audio_tower_is_a_switch(cross):
    """Catches a switch that does nothing, or that touches the video tower."""
    block = make_model(text_cross_audio=cross).blocks[0]
    assert (block.audio.reads_text is not None) is cross
    assert block.video.reads_text is not None


def test_every_parameter_gets_a_gradient():
    """Catches a dead path: after the gates open, nothing may stay without gradient."""
    model = tiny_model()
    video, audio = make_media(batch=3, geometry=FULL, text_dim=384)
    video = replace(video, text_mask=video.text_mask & torch.tensor([[True], [True], [False]]))
    audio = replace(audio, text_mask=video.text_mask)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for _ in range(4):
        optimizer.zero_grad()
        loss = sum((v - 1).square().mean() for v in model(video, audio))
        loss.backward()
        optimizer.step()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


FULL = Geometry(9, 32, 32, 8.0)  # channels of the shipped sizes


@pytest.mark.parametrize(
    ("size", "millions"),
    [("test", 6), ("0.2b", 200), ("1b", 1200), ("8b", 8000), ("36b", 36_000)],
)
def test_sizes_have_the_weights_of_their_names(size, millions):
    """Catches a size that cannot be built, or whose name lies."""
    with torch.device("meta"):
        model = MMDiT(SIZES[size])
    count = sum(p.numel() for p in model.parameters()) / 1e6
    assert count == pytest.approx(millions, rel=0.25)


def test_tiny_fits_the_demo():
    """Catches a tiny size that two CPU cores cannot train in minutes."""
    count = sum(p.numel() for p in tiny_model().parameters())
    assert 1e6 < count < 2.5e6


@pytest.mark.parametrize(
    ("field", "value"),
    [("heads", 7), ("clock", "frames"), ("single", -1), ("rope_split", (1, 1)), ("rope_base", 0.5)],
)
def test_wrong_configs_name_the_field(field, value):
    """Catches a config that fails later, far from its cause."""
    with pytest.raises(ValueError, match=field):
        replace(CONFIG, **{field: value})


def test_config_survives_json():
    """Catches a checkpoint whose config does not come back equal."""
    config = named_config("tiny", audio_channels=8)
    assert ModelConfig(**config.to_json()) == config
    with pytest.raises(ValueError, match="tiny"):
        named_config("huge")


def test_a_ready_model_is_the_trained_one_and_owns_its_weights():
    """Catches a weight that is left without a value, and one that lies in a file's mapped pages."""
    model = make_model(awake=True)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    asked = ready(model.config, weights, torch.device("cpu"))
    for value in weights.values():
        value.zero_()
    for one, other in zip(model(*make_media()), asked(*make_media()), strict=True):
        assert torch.equal(one, other)
    assert not any(p.requires_grad for p in asked.parameters())
    with pytest.raises(RuntimeError, match="Missing key"):
        ready(model.config, {}, torch.device("cpu"))
