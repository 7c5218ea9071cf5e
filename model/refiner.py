"""The refiner: space and time super-resolution of a picture by the video tower's own code.

SkyReels-V4 §4.5: latents of the small clip are interpolated linearly to the target's size, the
latents of keyframes are put in their places, and the result stands beside the noise on channels.
Here it stands where the base has its condition: C of noise, C of what is known, 1 of mask (1 =
keep). So a region that is kept holds its source, the mask parts it from what is refined, the input
has the base's 2C+1 channels and every weight of the base's video tower has its place (choice; the
paper says that the weights are the video model's, and names no layout).

Letters: B batch, C channels, T h w of the small latent, F H W of the target's, K keyframes.
"""

from collections.abc import Sequence

from einops import rearrange
from torch import Tensor
from torch.nn import functional

from model.geometry import Geometry
from model.rope import between


def upsampled(low: Tensor, small: Geometry, target: Geometry) -> Tensor:
    """Latents [B,C,T,h,w] interpolated linearly to the target's [B,C,F,H,W], in time by seconds.

    Before the first and after the last small latent it repeats them.
    """
    _, F, H, W = target.video_shape
    at = between(target.video_times(), small.video_times()).clamp(0, low.shape[2] - 1)
    left = at.floor().long().clamp(max=max(0, low.shape[2] - 2)).to(low.device)
    right = (left + 1).clamp(max=low.shape[2] - 1)
    share = (at.to(low.device) - left).to(low.dtype)[:, None, None]
    moved = low[:, :, left] * (1 - share) + low[:, :, right] * share  # [B,C,F,h,w]
    frames = rearrange(moved, "b c f h w -> (b f) c h w")
    wide = functional.interpolate(frames, (H, W), mode="bilinear", align_corners=False)
    return rearrange(wide, "(b f) c h w -> b c f h w", f=F)


def places(stills: Geometry, target: Geometry) -> list[int]:
    """The latent of the target that shows the instant of each still."""
    found = []
    for second in stills.video_times().tolist():
        frame = min(int(second * target.fps + 1e-6), target.frames - 1)
        found.append(0 if frame == 0 else 1 + (frame - 1) // target.video.time)
    return found


def put_in_place(coarse: Tensor, keyframes: Tensor, at: Sequence[int]) -> Tensor:
    """`coarse` [B,C,F,H,W] with keyframes [B,C,K,H,W] instead of the latents `at`."""
    if keyframes.shape[3:] != coarse.shape[3:]:
        sizes = " and ".join(f"{x.shape[4]}x{x.shape[3]}" for x in (keyframes, coarse))
        raise ValueError(f"keyframes and target have {sizes} latents; they must be of one size")
    whole = coarse.clone()
    whole[:, :, list(at)] = keyframes.to(coarse)
    return whole


def keyframe_mask(mask: Tensor, at: Sequence[int], size: tuple[int, int]) -> Tensor:
    """What of keyframes is kept, [B,1,K,H,W]: where the latents `at` of [B,1,T,h,w] are."""
    kept = rearrange(mask[:, :, list(at)], "b one k h w -> (b k) one h w")
    wide = functional.interpolate(kept, size, mode="nearest")
    return rearrange(wide, "(b k) one h w -> b one k h w", k=len(at))
