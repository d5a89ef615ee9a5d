"""Crops with something to see at every scale, such as a perceptual hash needs."""

import cv2
import numpy as np


def blotches(seed: int) -> np.ndarray:
    """uint8 (256, 256, 3)."""
    random = np.random.default_rng(seed)
    layers = [
        cv2.resize(random.normal(size=(side, side, 3)) * 256 / side, (256, 256), interpolation=cv2.INTER_CUBIC)
        for side in (4, 8, 16, 32, 64)
    ]
    return np.clip(128 + 1.2 * sum(layers), 0, 255).astype(np.uint8)
