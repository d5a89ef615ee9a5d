"""A person's seven pictures."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from shared import labels
from shared.portraits.camera import (
    PICTURE_HEIGHT,
    PICTURE_WIDTH,
    Picture,
    photograph,
    project,
    sample_light,
    sample_pose,
)
from shared.portraits.canvas import LEFT, SCALE, TOP, Layer, Plane, Relief, blob, box_around
from shared.portraits.clothes import build_wall, clothes_layer
from shared.portraits.eyes import draw_brows, draw_eyes, glasses_layer
from shared.portraits.hair import Hair, build_hair, sample_style
from shared.portraits.head import Head, build_head, sample_measures
from shared.portraits.masks import MAKES, incorrect_fit, wear_mask, worn_fit
from shared.portraits.person import Person, sample_person
from shared.portraits.skin import ears_layer, face_layer, neck_layer


@dataclass(frozen=True)
class Portrait:
    """One picture and what is known of it."""

    kind: str
    """One of `labels.PICTURE_KINDS`."""
    pixels: Picture
    """uint8 (512, 384, 3), RGB."""
    landmarks: Plane
    """Left and right eye (as the viewer sees them), nose tip, left and right corner of the mouth: (5, 2), pixels."""


@dataclass(frozen=True)
class Sitter:
    """Everything of a person that the seven pictures share."""

    person: Person
    head: Head
    bare: Relief
    """Without mask, front hair and glasses."""
    hair: Hair
    glasses: Layer | None
    wall: Plane


def draw_person(age: int, female: bool, seed: np.random.SeedSequence) -> Iterator[Portrait]:
    """The seven pictures of a person drawn by lot from the seed, in the order of `labels.PICTURE_KINDS`."""
    person_seed, *picture_seeds = seed.spawn(1 + len(labels.PICTURE_KINDS))
    sitter = _sitter(person_seed, age, female)
    makes = np.random.default_rng(person_seed).permutation(MAKES)
    for index, (kind, picture_seed) in enumerate(zip(labels.PICTURE_KINDS, picture_seeds, strict=True)):
        yield _portrait(np.random.default_rng(picture_seed), sitter, kind, str(makes[index % len(makes)]))


def _sitter(seed: np.random.SeedSequence, age: int, female: bool) -> Sitter:
    rng = np.random.default_rng(seed)
    person = sample_person(rng, female, age)
    head = build_head(sample_measures(rng, person))
    style = sample_style(rng, person)
    hair = build_hair(rng, person, head, style)
    ears = None if style.is_long else ears_layer(person, head)
    relief = Relief()
    for layer in (hair.back, neck_layer(rng, person, head), clothes_layer(rng, head), ears):
        if layer:
            relief.lay(layer)
    relief.lay(face_layer(rng, person, head))
    draw_eyes(rng, person, head, relief)
    draw_brows(rng, person, head, relief)
    wall = build_wall(rng, PICTURE_HEIGHT + 32, PICTURE_WIDTH + 32).transpose(1, 2, 0)
    return Sitter(person, head, relief, hair, glasses_layer(rng, person, head), np.ascontiguousarray(wall))


def _portrait(rng: np.random.Generator, sitter: Sitter, kind: str, make: str) -> Portrait:
    relief, head = sitter.bare.copy(), sitter.head
    light, pose = sample_light(rng), sample_pose(rng)
    _catch_lights(head, relief, light.towards)
    if kind != labels.NORMAL:
        fit = incorrect_fit(rng, head) if kind == labels.INCORRECT else worn_fit(rng, head)
        wear_mask(rng, head, fit, make, relief)
    relief.lay(sitter.hair.front)
    if sitter.glasses:
        relief.lay(sitter.glasses)
    y, x = (int(value) for value in rng.integers(0, 32, 2))
    wall = sitter.wall[y : y + PICTURE_HEIGHT, x : x + PICTURE_WIDTH]
    landmarks = project(pose, _landmarks(head, sitter.bare))
    return Portrait(kind, photograph(rng, relief, wall, light, pose), landmarks)


def _catch_lights(head: Head, relief: Relief, towards: tuple[float, float, float]) -> None:
    for side in (-1.0, 1.0):
        x, y = side * head.measures.eye_x + 0.05 * towards[0], -0.012 + 0.05 * towards[1]
        box = box_around(np.array([[x, y]], np.float32), 0.08)
        relief.tint(0.85 * blob(x, y, 0.017, 0.017)[box], (1.0, 1.0, 1.0), box)


def _landmarks(head: Head, relief: Relief) -> Plane:
    """(5, 3): places on the canvas and their depth, units."""
    m = head.measures
    corner = m.mouth_y - m.smile
    places = [
        (-m.eye_x, 0.0),
        (m.eye_x, 0.0),
        (0.0, m.nose_y - 0.05),
        (-m.mouth_width, corner),
        (m.mouth_width, corner),
    ]
    depths = [relief.planes[7][int((y - TOP) * SCALE), int((x - LEFT) * SCALE)] for x, y in places]
    return np.array([(x, y, depth) for (x, y), depth in zip(places, depths, strict=True)], np.float32)
