"""Occlusions other than masks: beard, glasses, hands, objects, and close crops. None changes the mask state.

Every function takes a crop, uint8 RGB (256, 256, 3); those named `draw_...` change it in place.
"""

import cv2
import numpy as np

from shared.crops import CROP_SIZE, EYES
from shared.mask_overlay.fabric import SIDE, any_colour, creases, grain, knits, noise
from shared.mask_overlay.geometry import EYE_DISTANCE, EYE_LINE, FaceGeometry, Plane


def draw_beard(crop: Plane, face: FaceGeometry, rng: np.random.Generator) -> None:
    """Draw a beard around the mouth, from stubble to full."""
    y, x = np.mgrid[:CROP_SIZE, :CROP_SIZE].astype(np.float32)
    low = face.chin + rng.uniform(-2, 22)
    across = (x - face.mouth[0]) / (face.half_width * rng.uniform(0.8, 1.0))
    down = (y - EYE_LINE) / (low - EYE_LINE)
    jaw = np.clip((1 - across**2 - np.clip(down, 0, 2) ** 4) * 6, 0, 1)
    line = face.nose[1] + 12 + 26 * np.abs(across) * (1 - across**2) - 45 * across**4 * rng.uniform(0, 1)
    lips = ((x - face.mouth[0]) / (0.4 * EYE_DISTANCE)) ** 2 + ((y - face.mouth[1]) / 9) ** 2
    cover = jaw * np.clip((y - line) / 8, 0, 1) * np.clip(lips - 0.8, 0, 1)
    fuzz = noise((CROP_SIZE, CROP_SIZE), rng)
    cover *= np.clip(rng.uniform(0.25, 0.95) + 0.3 * cv2.blur(fuzz, (2, 5)), 0, 1)
    colour = np.float32(rng.uniform(0, 1) ** 2 * 190 + 15) * np.array([1.04, 1.0, 0.95], np.float32)
    paint = colour * (1 + 0.35 * fuzz[..., None]) * np.float32(np.clip(crop.mean() / 115, 0.5, 1.2))
    crop[:] = np.clip(crop + cover[..., None] * (paint - crop), 0, 255)


def draw_glasses(crop: Plane, face: FaceGeometry, rng: np.random.Generator) -> None:
    """Draw rims around the eyes, sometimes dark lenses."""
    wide, high = rng.uniform(22, 31), rng.uniform(15, 27)
    pen, oval = int(rng.integers(1, 5)), rng.random() < 0.5
    colour = any_colour(rng) * rng.uniform(0.2, 1.0)
    paint = _canvas()
    lenses = -1 if rng.random() < 0.25 else pen
    for x, y in EYES:
        if oval:
            cv2.ellipse(paint, (int(x), int(y + 3)), (int(wide), int(high)), 0, 0, 360, 255, lenses, cv2.LINE_AA)
        else:
            corner = (int(x - wide), int(y + 3 - 0.8 * high))
            cv2.rectangle(paint, corner, (int(x + wide), int(y + 3 + 0.9 * high)), 255, lenses, cv2.LINE_AA)
    left, right, y = EYES[0][0], EYES[1][0], EYE_LINE + 1
    for start, end in ((left + wide, right - wide), (128 - face.half_width, left - wide)):
        _line(paint, np.array([[start, y], [end, y]]), pen)
    _line(paint, np.array([[right + wide, y], [128 + face.half_width, y]]), pen)
    _lay(crop, paint, colour, rng, 0.5, _structure(rng, 0.02, 0.01))


def draw_object(crop: Plane, face: FaceGeometry, rng: np.random.Generator) -> None:
    """Draw something held or hanging in front of the face."""
    objects = (_draw_hand, _draw_hand, _draw_cup, _draw_phone, _draw_microphone, _draw_scarf, _draw_hair)
    objects[int(rng.integers(len(objects)))](crop, face, rng)


def framed(crop: Plane, rng: np.random.Generator) -> Plane:
    """Return the crop of an image that ends close to the face: grey beyond a rotated rectangle."""
    centre = (128 + rng.normal(0, 8), 136 + rng.normal(0, 10))
    size = (rng.uniform(135, 230), rng.uniform(170, 250))
    corners = cv2.boxPoints((centre, size, rng.normal(0, 9)))
    image = np.zeros(crop.shape[:2], np.uint8)
    cv2.fillConvexPoly(image, corners.astype(np.int32), 1)
    # 127 is the grey beyond the edge of an image in all crops.
    return np.where(image[..., None] == 1, crop, np.uint8(127))


def recompressed(crop: Plane, rng: np.random.Generator) -> Plane:
    """Return the crop after JPEG compression of poor to good quality."""
    _, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 92))])
    kept = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return crop if kept is None else kept


def _canvas() -> Plane:
    return np.zeros((CROP_SIZE, CROP_SIZE), np.uint8)


def _line(paint: Plane, points: Plane, pen: int) -> None:
    cv2.polylines(paint, [np.round(points * 16).astype(np.int32)], False, 255, pen, cv2.LINE_AA, shift=4)


def _convex(paint: Plane, corners: Plane) -> None:
    cv2.fillConvexPoly(paint, np.round(corners * 16).astype(np.int32), 255, cv2.LINE_AA, shift=4)


def _structure(rng: np.random.Generator, deep: float, fine: float = 0.02) -> Plane:
    """Return the unevenness of a surface as a share of its brightness."""
    row, column = (int(value) for value in rng.integers(0, SIDE, 2))
    part = (slice(row, row + CROP_SIZE), slice(column, column + CROP_SIZE))
    tile = creases()[int(rng.integers(len(creases())))]
    return np.float32(deep) * np.tanh(tile[part]) + np.float32(fine) * grain()[part]


def _lay(crop: Plane, paint: Plane, colour: Plane, rng: np.random.Generator, depth: float, structure: Plane) -> None:
    """Lay the painted shape (uint8, 0-255) on the crop, rounded in light from above and one side."""
    rows, columns = np.flatnonzero(paint.any(axis=1)), np.flatnonzero(paint.any(axis=0))
    if not len(rows):
        return
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    blur = rng.uniform(0.6, 1.6)
    cover = cv2.GaussianBlur(paint, (0, 0), blur)[box].astype(np.float32) / 255
    # The square root of the blurred shape is a rounded height field.
    high = np.sqrt(cv2.blur(paint, (15, 15))[box].astype(np.float32) / 255)
    slope_y, slope_x = np.gradient(high) if min(high.shape) > 1 else (high, high)
    side = np.float32(rng.uniform(-1, 1))
    shade = 0.95 + np.float32(depth) * (slope_y + side * slope_x) + structure[: high.shape[0], : high.shape[1]]
    shade = shade * np.float32(np.clip(crop[box].mean() / 125, 0.5, 1.15))
    tint = colour.astype(np.float32) * np.clip(shade, 0.3, 1.5)[..., None]
    crop[box] = np.clip(crop[box] + cover[..., None] * (tint - crop[box]), 0, 255)


def _draw_hand(crop: Plane, face: FaceGeometry, rng: np.random.Generator) -> None:
    """Draw fingers and the back of a hand, from below or from a side, at the mouth, nose, cheek or chin."""
    row, column = int(face.nose[1]), int(face.nose[0])
    cheeks = crop[row - 12 : row + 6, max(column - 40, 0) : column + 40].reshape(-1, 3)
    skin = np.median(cheeks, axis=0) * rng.uniform(0.8, 1.12)
    target = np.array([face.mouth[0] + rng.normal(0, 26), rng.uniform(face.nose[1] - 6, face.chin)])
    angle = rng.uniform(0.15, 0.85) * np.pi
    away = np.array([np.cos(angle), np.sin(angle)])
    beside = np.array([-away[1], away[0]])
    pen = int(rng.integers(13, 20))
    count = int(rng.integers(1, 5))
    structure = _structure(rng, 0.05)
    palm = _canvas()
    cv2.circle(palm, np.round(target + away * 88).astype(int).tolist(), int(0.55 * pen * max(count, 3)), 255, -1)
    _lay(crop, palm, skin, rng, 1.2, structure)
    for number in range(count):
        paint = _canvas()
        tip = target + beside * (number - (count - 1) / 2) * (pen + rng.uniform(0, 3)) + away * rng.uniform(0, 12)
        knuckle = tip + away * rng.uniform(34, 46) + beside * rng.normal(0, 3)
        _line(paint, np.stack([tip, knuckle, tip + away * 86 + beside * rng.normal(0, 4)]), pen)
        _lay(crop, paint, skin * rng.uniform(0.93, 1.05), rng, 2.4, structure)


def _draw_cup(crop: Plane, face: FaceGeometry, rng: np.random.Generator) -> None:
    """Draw a cup, glass or can at the mouth."""
    x, top = face.mouth[0] + rng.normal(0, 12), rng.uniform(face.nose[1] + 2, face.mouth[1] + 8)
    wide, high, taper = rng.uniform(26, 56), rng.uniform(60, 110), rng.uniform(0.6, 1.0)
    corners = np.array([[-wide, 0], [wide, 0], [wide * taper, high], [-wide * taper, high]])
    lean = rng.normal(0, 0.2)
    paint = _canvas()
    _convex(paint, corners @ np.array([[np.cos(lean), np.sin(lean)], [-np.sin(lean), np.cos(lean)]]) + (x, top))
    cv2.ellipse(paint, (int(x), int(top)), (int(wide), int(rng.uniform(3, 10))), 0, 0, 360, 255, -1, cv2.LINE_AA)
    _lay(crop, paint, any_colour(rng), rng, 2.0, _structure(rng, 0.03, 0.01))


def _draw_phone(crop: Plane, face: FaceGeometry, rng: np.random.Generator) -> None:
    """Draw a flat rectangle in front of one cheek or the mouth: a telephone, a book, a sheet."""
    centre = (face.mouth[0] + rng.normal(0, 45), rng.uniform(face.nose[1] + 12, face.chin + 20))
    size = (rng.uniform(45, 120), rng.uniform(70, 140))
    paint = _canvas()
    _convex(paint, cv2.boxPoints((centre, size, rng.normal(0, 22))))
    colour = any_colour(rng) if rng.random() < 0.6 else np.array([32, 33, 36]) * rng.uniform(0.7, 1.6)
    _lay(crop, paint, colour, rng, 0.6, _structure(rng, 0.02, 0.01))


def _draw_microphone(crop: Plane, face: FaceGeometry, rng: np.random.Generator) -> None:
    head = np.array([face.mouth[0] + rng.normal(0, 16), face.mouth[1] + rng.uniform(0, 26)])
    end = head + np.array([rng.normal(0, 45), 110.0])
    stick, ball = _canvas(), _canvas()
    _line(stick, np.stack([head, end]), int(rng.integers(8, 16)))
    cv2.circle(ball, head.astype(int).tolist(), int(rng.uniform(11, 22)), 255, -1, cv2.LINE_AA)
    _lay(crop, stick, np.full(3, rng.uniform(20, 80)), rng, 2.0, _structure(rng, 0.02))
    _lay(crop, ball, np.full(3, rng.uniform(25, 150)), rng, 2.0, _structure(rng, 0.05, 0.15))


def _draw_scarf(crop: Plane, face: FaceGeometry, rng: np.random.Generator) -> None:
    """Draw a scarf around the neck, sometimes up to the mouth."""
    mouth, to_mouth = face.mouth[1], rng.random() < 0.3
    top = rng.uniform(mouth - 12, mouth + 8) if to_mouth else rng.uniform(mouth + 18, face.chin + 14)
    x = np.linspace(-1.25, 1.25, 13)
    upper = np.stack([face.mouth[0] + x * face.half_width, top - rng.uniform(-6, 22) * x**2 + rng.normal(0, 2, 13)], 1)
    paint = _canvas()
    outline = np.concatenate([upper, [[CROP_SIZE, CROP_SIZE + 8.0], [0, CROP_SIZE + 8.0]]])
    cv2.fillPoly(paint, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    structure = _structure(rng, rng.uniform(0.1, 0.35))
    knit = knits()[int(rng.integers(len(knits())))][:CROP_SIZE, :CROP_SIZE]
    _lay(crop, paint, any_colour(rng), rng, 1.5, structure + np.float32(rng.uniform(0, 0.12)) * knit)


def _draw_hair(crop: Plane, face: FaceGeometry, rng: np.random.Generator) -> None:
    """Draw strands across the face or along a cheek."""
    colour = np.median(crop[18:40, 90:166].reshape(-1, 3), axis=0) * rng.uniform(0.4, 0.9)
    start = np.array([face.mouth[0] + rng.choice((-1, 1)) * rng.uniform(20, 75), 40.0])
    for _ in range(int(rng.integers(4, 26))):
        paint = _canvas()
        path = [start + rng.normal(0, 9, 2)]
        for _ in range(5):
            path.append(path[-1] + (rng.normal(0, 7), rng.uniform(22, 42)))
        _line(paint, np.stack(path), int(rng.integers(1, 4)))
        x, y, width, height = cv2.boundingRect(paint)
        share = paint[y : y + height, x : x + width].astype(np.float32)[..., None] * np.float32(0.7 / 255)
        part = crop[y : y + height, x : x + width]
        part[:] = (part + share * (colour.astype(np.float32) - part)).astype(np.uint8)
