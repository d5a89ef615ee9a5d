"""The seven images of a drawn person."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from shared import labels
from shared.portraits.clothing import MASK_COLOURS, clothes_layer, incorrect_fit, wear_mask, worn_fit
from shared.portraits.face import (
    draw_brows,
    draw_catch_lights,
    draw_eyes,
    ears_layer,
    face_layer,
    glasses_layer,
    neck_layer,
)
from shared.portraits.hair import Hair, build_hair, sample_style
from shared.portraits.person import Head, Person, build_head, sample_measures, sample_person
from shared.portraits.rendering import (
    DEPTH,
    IMAGE_HEIGHT,
    IMAGE_WIDTH,
    LEFT,
    SCALE,
    TOP,
    Layer,
    Pixels,
    Plane,
    Relief,
    build_wall,
    photograph,
    project,
    sample_light,
    sample_pose,
)

WALL_MARGIN = 32
"""Pixels by which the wall may move between the images of a person."""


@dataclass(frozen=True)
class Portrait:
    """One image and its landmarks."""

    kind: str
    """One of `labels.IMAGE_KINDS`."""
    pixels: Pixels
    """uint8 RGB (512, 384, 3)."""
    landmarks: Plane
    """True positions, also under a mask: left and right eye (as the viewer sees them), tip of the nose, left and right
    corner of the mouth; float32 (5, 2), x and y in pixels. The order is MTCNN's."""


@dataclass(frozen=True)
class _Sitter:
    """Everything that the seven images of a person share."""

    head: Head
    bare: Relief
    """Without mask, glasses and the hair in front of the face."""
    hair: Hair
    glasses: Layer | None
    wall: Plane


def draw_person(
    age: int, female: bool, seed: np.random.SeedSequence, glasses: bool | None = None
) -> Iterator[Portrait]:
    """Yield the seven images of a person in the order of `labels.IMAGE_KINDS`.

    `age` is in years, 18-75; `glasses=None` leaves glasses to the seed. The same arguments give the same pixels on one
    machine.
    """
    person_seed, *image_seeds = seed.spawn(1 + len(labels.IMAGE_KINDS))
    rng = np.random.default_rng(person_seed)
    sitter = _draw_sitter(rng, sample_person(rng, female, age), glasses)
    masks = rng.permutation(list(MASK_COLOURS))
    for index, (kind, image_seed) in enumerate(zip(labels.IMAGE_KINDS, image_seeds, strict=True)):
        yield _draw_portrait(np.random.default_rng(image_seed), sitter, kind, str(masks[index % len(masks)]))


def _draw_sitter(rng: np.random.Generator, person: Person, glasses: bool | None) -> _Sitter:
    """Draw from the back to the front what all images of the person share."""
    head = build_head(sample_measures(rng, person))
    style = sample_style(rng, person)
    hair = build_hair(rng, person, head, style)
    bare = Relief()
    if hair.back:
        bare.lay(hair.back)
    bare.lay(neck_layer(rng, person, head))
    bare.lay(clothes_layer(rng, head))
    if not style.is_long:
        bare.lay(ears_layer(person, head))
    bare.lay(face_layer(rng, person, head))
    draw_eyes(rng, person, head, bare)
    draw_brows(rng, person, head, bare)
    wall = build_wall(rng, IMAGE_HEIGHT + WALL_MARGIN, IMAGE_WIDTH + WALL_MARGIN)
    return _Sitter(head, bare, hair, glasses_layer(rng, person, head, glasses), wall)


def _draw_portrait(rng: np.random.Generator, sitter: _Sitter, kind: str, mask: str) -> Portrait:
    """Draw one image, in its own light and pose."""
    relief, head = sitter.bare.copy(), sitter.head
    light, pose = sample_light(rng), sample_pose(rng)
    draw_catch_lights(head, relief, light.towards)
    if kind != labels.NORMAL:
        fit = incorrect_fit(rng, head) if kind == labels.INCORRECT else worn_fit(rng, head)
        wear_mask(rng, head, fit, mask, relief)
    if sitter.glasses:
        relief.lay(sitter.glasses)
    relief.lay(sitter.hair.front)
    x, y = (int(pixels) for pixels in rng.integers(0, WALL_MARGIN, 2))
    wall = sitter.wall[y : y + IMAGE_HEIGHT, x : x + IMAGE_WIDTH]
    # Landmarks (5, 3) on the bare face, with their depth, in units.
    m, depth = head.measures, sitter.bare.planes[DEPTH]
    mouth = m.mouth_y - m.smile
    places = [(-m.eye_x, 0.0), (m.eye_x, 0.0), (0.0, m.nose_y - 0.05), (-m.mouth_width, mouth), (m.mouth_width, mouth)]
    points = [(x, y, depth[int((y - TOP) * SCALE), int((x - LEFT) * SCALE)]) for x, y in places]
    return Portrait(kind, photograph(rng, relief, wall, light, pose), project(pose, np.array(points, np.float32)))
