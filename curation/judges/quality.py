"""Technical quality of a still without a reference: BRISQUE, detail, colourfulness."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import gamma

Floats = NDArray[np.floating[Any]]
Picture = NDArray[np.uint8]  # [H,W,3] RGB

# Range of each feature over the LIVE pictures that the regressor was trained on.
LOW = (
    0.336999, 0.019667, 0.23, -0.125959, 0.000167, 0.000616, 0.231, -0.125873, 0.000165, 0.0006,
    0.241, -0.128814, 0.000179, 0.000386, 0.243, -0.13308, 0.000182, 0.000421, 0.436998, 0.016929,
    0.247, -0.200231, 0.000104, 0.000834, 0.257, -0.200017, 0.000112, 0.000876, 0.257, -0.155072,
    0.000112, 0.000356, 0.258, -0.154374, 0.000117, 0.000351,
)  # fmt: skip
HIGH = (
    9.999411, 0.807472, 1.644021, 0.202917, 0.712384, 0.468672, 1.644021, 0.169548, 0.713132,
    0.467896, 1.553016, 0.101368, 0.687324, 0.533087, 1.554016, 0.101, 0.689177, 0.533133, 3.639918,
    0.800955, 1.096995, 0.175286, 0.755547, 0.39927, 1.095995, 0.155928, 0.751488, 0.402398,
    1.041992, 0.093209, 0.623516, 0.532925, 1.042992, 0.093714, 0.621958, 0.534484,
)  # fmt: skip
SHAPES = np.arange(0.2, 10.001, 0.001)  # of the generalised Gaussian, as in the authors' code


def detail(picture: Picture) -> float:
    """Laplacian variance of the luma."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def colourfulness(picture: Picture) -> float:
    """Hasler & Süsstrunk 2003, eq. 3: spread plus 0.3 times mean of the opponent colours."""
    red, green, blue = (picture[..., i].astype(np.float64) for i in range(3))
    rg, yb = red - green, (red + green) / 2 - blue
    spread, mean = np.hypot(rg.std(), yb.std()), np.hypot(rg.mean(), yb.mean())
    return float(spread + 0.3 * mean)


@dataclass(frozen=True)
class Brisque:
    """The regressor of Mittal et al. 2012 (IEEE TIP 21:12): RBF support vectors [V,36]."""

    vectors: Floats
    weights: Floats  # [V]
    gamma: float
    rho: float

    def score(self, picture: Picture) -> float:
        """0 (clean) to 100 (spoilt) of an RGB picture."""
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64) / 255
        low, high = np.array(LOW), np.array(HIGH)
        scaled = -1 + 2 * (features(grey) - low) / (high - low)
        distance = np.square(self.vectors - scaled).sum(axis=1)
        value = float((self.weights * np.exp(-self.gamma * distance)).sum() - self.rho)
        return min(100.0, max(0.0, value))


def load_brisque(model: Path) -> Brisque:
    """Read a libsvm regression model (text). Raises ValueError when it is something else."""
    header, _, body = model.read_text().partition("\nSV\n")
    facts = dict(line.split(" ", 1) for line in header.splitlines())
    if facts.get("svm_type") != "epsilon_svr" or facts.get("kernel_type") != "rbf":
        raise ValueError(f"{model} is no RBF regression model of libsvm")
    weights, vectors = [], []
    for line in body.splitlines():
        first, *pairs = line.split()
        weights.append(float(first))
        vector = np.zeros(36)
        for pair in pairs:
            index, value = pair.split(":")
            vector[int(index) - 1] = float(value)
        vectors.append(vector)
    return Brisque(np.array(vectors), np.array(weights), float(facts["gamma"]), float(facts["rho"]))


def features(grey: Floats) -> Floats:
    """36 natural-scene statistics [36] of luma [H,W] in 0…1, at full and at half size."""
    half = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_CUBIC)
    return np.concatenate([scale_features(grey), scale_features(half)])


def scale_features(grey: Floats) -> Floats:
    """18 features of one size: the shape of normalised luma and of its four neighbour products."""
    mean = cv2.GaussianBlur(grey, (7, 7), 7 / 6)
    spread = np.sqrt(np.abs(cv2.GaussianBlur(grey * grey, (7, 7), 7 / 6) - mean * mean))
    flat = (grey - mean) / (spread + 1 / 255)
    shape, _, low, high = asymmetric_fit(flat)
    found = [shape, (low + high) / 2]
    right, below = flat[:, :-1] * flat[:, 1:], flat[:-1] * flat[1:]
    falling, rising = flat[:-1, :-1] * flat[1:, 1:], flat[1:, :-1] * flat[:-1, 1:]
    for pairs in (right, below, falling, rising):
        found += asymmetric_fit(pairs)
    return np.array(found)


def asymmetric_fit(values: Floats) -> tuple[float, float, float, float]:
    """(shape, mean, left variance, right variance) of an asymmetric generalised Gaussian."""
    squares = np.square(values)
    below, above = values < 0, values >= 0
    left = np.sqrt(squares[below].mean()) if below.any() else 1e-6
    right = np.sqrt(squares[above].mean()) if above.any() else 1e-6
    lean = left / right
    ratio = np.square(np.abs(values).mean()) / max(squares.mean(), 1e-12)
    wanted = ratio * (lean**3 + 1) * (lean + 1) / np.square(lean * lean + 1)
    known = np.square(gamma(2 / SHAPES)) / (gamma(1 / SHAPES) * gamma(3 / SHAPES))
    shape = float(SHAPES[np.argmin(np.square(known - wanted))])
    factor = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    mean = (right - left) * factor * gamma(2 / shape) / gamma(1 / shape)
    return shape, float(mean), float(left * left), float(right * right)
