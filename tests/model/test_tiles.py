"""Tiles: they cover everything once, and agree with the whole away from their seams."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as fn

from model.tiles import (
    ABOVE,
    OVERLAP,
    SIDE,
    decode_whole_or_tiled,
    encode_whole_or_tiled,
    ramp,
    starts,
    tiled,
)
from model.vae import load_video_vae
from pipelines.encode_config import EncodeConfig
from tests.tiny_vaes import save_video

# Differences in standard deviations of a latent: root mean square, largest, and largest where only
# one tile lies. Wan and HunyuanVideo attend to the whole frame in their middle, which no tile sees.
BOUNDS = {
    "embedded": (1e-6, 1e-5, 0.0),
    "ltx2": (0.05, 0.5, 0.0),
    "wan": (0.01, 0.2, 0.2),
    "wan22": (0.01, 0.1, 0.02),
    "hunyuan": (0.03, 0.25, 0.05),
}


def test_tiles_cover_and_their_weights_add_up():
    """Catches gaps, a sliver at the end, tiles out of the picture, and seams that are brighter."""
    for size in range(1, 120):
        places = starts(size, 16, 4)
        tiles = [set(range(at, min(at + 16, size))) for at in places]
        assert set.union(*tiles) == set(range(size))
        assert {len(tile) for tile in tiles} == {min(size, 16)}
        assert all(len(a & b) >= 4 for a, b in pairwise(tiles))
        assert len(places) <= 1 + size // 12
    rise = [0.0, 0.25, 0.75, 1.0]
    assert ramp(16, 4, before=True, after=True).tolist() == [*rise, *[1.0] * 8, *rise[::-1]]
    assert ramp(16, 4, before=False, after=False).tolist() == [1.0] * 16


def test_tiles_lie_where_they_belong():
    """Catches rows taken for columns: means over a cell do not depend on tiles at all."""
    torch.manual_seed(0)
    x = torch.rand(1, 2, 3, 37 * 4, 50 * 4)
    whole = fn.avg_pool3d(x, (1, 4, 4))
    made = tiled(lambda tile: fn.avg_pool3d(tile, (1, 4, 4)), x, (37, 50), (4, 1), 16, 4)
    torch.testing.assert_close(made, whole)
    back = tiled(
        lambda t: fn.interpolate(t, scale_factor=(1, 4, 4)), whole, (37, 50), (1, 4), 16, 4
    )
    torch.testing.assert_close(back, fn.interpolate(whole, scale_factor=(1, 4, 4)))


def test_sizes_are_whole_latents_of_every_stride():
    """Catches a tile that cuts a latent in two."""
    assert all(size % stride == 0 for size in (SIDE, OVERLAP) for stride in (8, 16, 32))


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_tiled_latents_are_those_of_the_whole(tmp_path, name):
    """Catches seams: tiles that see too little around them, or are blended where they see least."""
    vae = load_video_vae("embedded" if name == "embedded" else save_video(tmp_path, name))
    torch.manual_seed(0)
    pixels = fn.interpolate(torch.rand(1, 3, 1, 16, 20), (1, 512, 640), mode="trilinear") * 2 - 1
    first = 640 - SIDE  # pixels until the second of two tiles begins
    with torch.no_grad():
        whole = vae.encode(pixels)
        parts = encode_whole_or_tiled(vae, pixels, above=512 * 640 - 1)
        error = (parts - whole).abs() / whole.std()
        found = (
            error.square().mean().sqrt(),
            error.max(),
            error[..., : first // vae.spec.space].max(),
        )
        assert all(float(f) <= b for f, b in zip(found, BOUNDS[name], strict=True)), found
        assert error.max() > 0, "nothing was tiled"
        if name in ("embedded", "ltx2"):  # decoders that do not attend
            off = (vae.decode(whole) - decode_whole_or_tiled(vae, whole, above=1)).abs()
            assert off[..., :first].max() == 0
            assert 0 < off.square().mean().sqrt() < 0.05


def test_small_pictures_stay_whole():
    """Catches a threshold that changes what sets without a large rendition hold."""
    vae = load_video_vae("embedded")
    pixels = torch.rand(1, 3, 1, 64, 640) * 2 - 1
    with torch.no_grad():
        whole = vae.encode(pixels)
        assert torch.equal(encode_whole_or_tiled(vae, pixels), whole)
        assert torch.equal(encode_whole_or_tiled(vae, pixels, above=64 * 640), whole)
        assert torch.equal(decode_whole_or_tiled(vae, whole), vae.decode(whole))
    assert EncodeConfig().tile_above == ABOVE


def test_stills_are_clips_of_one_frame():
    """Catches keyframes that see each other: a latent of four frames, or a causal past."""
    vae = load_video_vae()
    pixels = torch.rand(1, 3, 2, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents = encode_whole_or_tiled(vae, pixels, stills=True)
    assert latents.shape[2] == 2
    for frame in range(2):
        alone = vae.encode(pixels[:, :, frame : frame + 1])
        assert torch.equal(latents[:, :, frame : frame + 1], alone)
    back = decode_whole_or_tiled(vae, latents, stills=True)
    assert torch.equal(back[:, :, 1:], vae.decode(latents[:, :, 1:]))
