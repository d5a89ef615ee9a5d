"""The augmentation that every specialist starts from; each sets its own strengths."""

import os
from typing import TYPE_CHECKING

# albumentations asks the network for a newer release when it is imported, unless told not to.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import cv2

if TYPE_CHECKING:
    import albumentations


def augmentation(
    *,
    shift: float = 0.05,
    scale: float = 0.08,
    rotate: float = 8.0,
    light: float = 0.2,
    colour: float = 0.1,
    noise: float = 0.0,
    blur: float = 0.2,
    holes: float = 0.0,
) -> "albumentations.Compose":
    """Mirror, move, relight and blur: the way photographs of one face differ. Also Gaussian noise, and holes.

    `shift` and `scale` are shares of the picture, `rotate` degrees, `light` and `colour` shares of the range, `noise`
    the largest standard deviation as a share of the range, `blur` and `holes` probabilities.
    """
    import albumentations as A  # Takes a second to load, and who predicts does not augment.

    return A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.Affine(
                translate_percent=(-shift, shift),
                scale=(1 - scale, 1 + scale),
                rotate=(-rotate, rotate),
                border_mode=cv2.BORDER_REFLECT_101,
                p=0.9,
            ),
            A.RandomBrightnessContrast(brightness_limit=light, contrast_limit=light, p=0.7),
            A.HueSaturationValue(hue_shift_limit=90 * colour, sat_shift_limit=255 * colour, val_shift_limit=0, p=0.3),
            A.GaussianBlur(sigma_limit=(0.3, 1.2), blur_limit=0, p=blur),
            *([A.GaussNoise(std_range=(min(0.005, noise), noise), p=0.3)] if noise else []),
            *([_holes(holes)] if holes else []),
        ]
    )


def _holes(often: float) -> "albumentations.CoarseDropout":
    import albumentations as A

    return A.CoarseDropout(num_holes_range=(1, 2), hole_height_range=(0.1, 0.25), hole_width_range=(0.1, 0.25), p=often)
