"""Large pictures through an autoencoder in overlapping tiles, blended where they overlap.

diffusers' own tiling differs from class to class, ends a row with a sliver of whatever is left (one
latent wide it cannot be mirrored, and LTX-2's decoder stops), and the embedded autoencoder has
none. Here all tiles of a picture are of one size and spread evenly.

Letters: B clips, C channels, h w latent rows and columns.
"""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from model.vae import VideoCodec

ABOVE = 1280 * 720  # pixels of a frame; encode.tile_above is the same
SIDE, OVERLAP = 512, 128  # pixels; multiples of every stride

Run = Callable[[Tensor], Tensor]


def encode_whole_or_tiled(
    vae: VideoCodec,
    pixels: Tensor,
    above: int = ABOVE,
    run: Run | None = None,
    stills: bool = False,
) -> Tensor:
    """`vae.encode` (or `run`) of pixels [B,3,F,H,W], in tiles if H·W is more than `above`.

    Of `stills` every frame is a clip of its own: F latents.
    """
    if stills:
        frames = pixels.split(1, dim=2)
        return torch.cat([encode_whole_or_tiled(vae, x, above, run) for x in frames], dim=2)
    run = run or vae.encode
    height, width = pixels.shape[3:]
    if height * width <= above:
        return run(pixels)
    space = vae.spec.space
    cells = (height // space, width // space)
    return tiled(run, pixels, cells, (space, 1), SIDE // space, OVERLAP // space)


def decode_whole_or_tiled(
    vae: VideoCodec, latent: Tensor, above: int = ABOVE, stills: bool = False
) -> Tensor:
    """`vae.decode` of a latent [B,C,T,h,w], in tiles if a frame has more than `above` pixels; of
    `stills` each latent alone.
    """
    if stills:
        frames = latent.split(1, dim=2)
        return torch.cat([decode_whole_or_tiled(vae, x, above) for x in frames], dim=2)
    space = vae.spec.space
    h, w = latent.shape[3:]
    if h * w * space**2 <= above:
        return vae.decode(latent)
    return tiled(vae.decode, latent, (h, w), (1, space), SIDE // space, OVERLAP // space)


def tiled(
    run: Run,
    x: Tensor,
    cells: tuple[int, int],
    scale: tuple[int, int],
    side: int,
    overlap: int,
) -> Tensor:
    """`run` on tiles of x [B,·,·,H,W], blended to one float32 result.

    Sizes are in `cells` (latents): a cell is scale[0] rows of x and scale[1] rows of the result.
    """
    into, out_of = scale
    places = [starts(size, side, overlap) for size in cells]
    total: Tensor | None = None
    weight = x.new_zeros(cells[0] * out_of, cells[1] * out_of, dtype=torch.float32)
    for top, left in product(*places):
        rows, columns = (slice(at * into, (at + side) * into) for at in (top, left))
        made = run(x[..., rows, columns]).float()
        height, width = made.shape[-2:]
        down = ramp(height, overlap * out_of, top > 0, top + side < cells[0])
        across = ramp(width, overlap * out_of, left > 0, left + side < cells[1])
        share = (down[:, None] * across).to(x.device)
        if total is None:
            total = made.new_zeros(*made.shape[:-2], *weight.shape)
        y, x0 = top * out_of, left * out_of
        total[..., y : y + height, x0 : x0 + width] += made * share
        weight[y : y + height, x0 : x0 + width] += share
    assert total is not None
    return total / weight


def starts(size: int, side: int, overlap: int) -> list[int]:
    """Where tiles of `side` begin to cover `size`, overlapping by `overlap` or more."""
    if size <= side:
        return [0]
    count = -(-(size - overlap) // (side - overlap))
    return [round(number * (size - side) / (count - 1)) for number in range(count)]


def ramp(size: int, overlap: int, before: bool, after: bool) -> Tensor:
    """Weights [size] that rise over the `overlap` with a tile before, and fall to one that follows.

    The outer quarter of the overlap counts nothing: there a network sees least of what is around.
    """
    rise = ((torch.arange(size) + 0.5 - overlap / 4) / (overlap / 2)).clamp(0, 1)
    ones = torch.ones(size)
    return (rise if before else ones) * (rise.flip(0) if after else ones)
