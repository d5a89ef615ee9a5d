"""The contact sheet: many crops on one page with the doubtful ones marked; and the printed summary of a run."""

from pathlib import Path

import cv2
import numpy as np

from shared.crops import DETECTED, FOUND, INDEX, PRIOR, RETRIED, UNREADABLE, CropSet
from shared.files import replacing
from shared.messages import MAX_LINES, counted, listed

COLUMNS, ROWS = 12, 8
TILE, FRAME, CAPTION, HEADER = 128, 4, 14, 44
"""Pixels: side of a crop, frame around it, line of text below it, legend at the top."""

COLOURS = {DETECTED: (225, 225, 225), RETRIED: (240, 170, 30), PRIOR: (215, 40, 40), UNREADABLE: (120, 60, 200)}
"""Frame colours, RGB."""

INK, PAPER = (30, 30, 30), (255, 255, 255)
FONT, TEXT = cv2.FONT_HERSHEY_SIMPLEX, 0.34


def write_sheet(sets: dict[str, CropSet], path: Path) -> None:
    """Draw the sheet of these crop sets to a .jpg or .png file; raises `UserError` where it cannot be written."""
    _, encoded = cv2.imencode(path.suffix, cv2.cvtColor(draw_sheet(sets), cv2.COLOR_RGB2BGR))
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def draw_sheet(sets: dict[str, CropSet]) -> np.ndarray:
    """Draw the crops of `choose_crops`, the doubtful ones first, under a legend with counts; uint8 RGB."""
    picks = choose_crops(sets, COLUMNS * ROWS)
    rows = -(-len(picks) // COLUMNS)
    width, height = TILE + 2 * FRAME, TILE + 2 * FRAME + CAPTION
    sheet = np.full((HEADER + rows * height, COLUMNS * width, 3), PAPER, np.uint8)
    _draw_legend(sheet, sets)
    for place, (split, image) in enumerate(picks):
        top, left = HEADER + place // COLUMNS * height, place % COLUMNS * width
        _draw_tile(sheet[top : top + height, left : left + width], sets[split], image)
    return sheet


def choose_crops(sets: dict[str, CropSet], count: int) -> list[tuple[str, str]]:
    """Choose (split, image) for the sheet: up to a fifth of `count` for each doubtful kind, the rest `detected`.

    The choice is evenly spaced over the sets, so it is the same in every call.
    """
    kinds: dict[str, list[tuple[str, str]]] = {found: [] for found in (UNREADABLE, PRIOR, RETRIED, DETECTED)}
    for split, crops in sets.items():
        for image, found in crops.index["found"].items():
            kinds[found].append((split, str(image)))
    picks: list[tuple[str, str]] = []
    for found, members in kinds.items():
        most = min(len(members), count - len(picks) if found == DETECTED else count // 5)
        picks += [members[place] for place in np.linspace(0, len(members) - 1, most).round().astype(int)]
    return picks


def _draw_tile(tile: np.ndarray, crops: CropSet, image: str) -> None:
    found = str(crops.index["found"].loc[image])
    side = TILE + 2 * FRAME
    tile[:side] = COLOURS[found]
    crop = cv2.resize(crops.read(image), (TILE, TILE), interpolation=cv2.INTER_AREA)
    tile[FRAME : FRAME + TILE, FRAME : FRAME + TILE] = crop
    if found != DETECTED:
        width = cv2.getTextSize(found, FONT, TEXT, 1)[0][0]
        cv2.rectangle(tile, (FRAME, FRAME), (FRAME + width + 4, FRAME + 15), COLOURS[found], cv2.FILLED)
        _write(tile, found, (FRAME + 2, FRAME + 11), PAPER)
    caption = image if len(image) <= 21 else f"{image[:6]}..{image[-13:]}"
    _write(tile, caption, (FRAME, side + 10), INK)


def _draw_legend(sheet: np.ndarray, sets: dict[str, CropSet]) -> None:
    counts = {found: sum(int((crops.index["found"] == found).sum()) for crops in sets.values()) for found in FOUND}
    left = FRAME
    for found, count in counts.items():
        cv2.rectangle(sheet, (left, 12), (left + 20, 32), COLOURS[found], cv2.FILLED)
        text = f"{found} {count:,}"
        _write(sheet, text, (left + 28, 27), INK, size=0.5)
        left += 60 + 10 * len(text)


def _write(image: np.ndarray, text: str, at: tuple[int, int], colour: tuple[int, int, int], size: float = TEXT) -> None:
    cv2.putText(image, text, at, FONT, size, colour, 1, cv2.LINE_AA)


MEANING = {
    DETECTED: "",
    RETRIED: "found by a second, closer attempt",
    PRIOR: "no face found: cut where faces are in the other images",
    UNREADABLE: "plain grey; training leaves them out",
}


def summarise(crops: CropSet, new: int, seconds: float) -> str:
    """Text for the terminal: counts by how faces were found, and unreadable images with their reasons."""
    lines = [_headline(crops, new, seconds)]
    counts = crops.index["found"].value_counts()
    for found in FOUND:
        if found == DETECTED or found in counts:
            lines.append(f"  {found:<11}{counts.get(found, 0):>8,}   {MEANING[found]}".rstrip())
    several = int((crops.index["faces"] > 1).sum())
    if several:
        lines.append(f"  {several:,} with several faces: the largest and most central one was taken")
    return "\n".join(lines + _problems(crops))


def _headline(crops: CropSet, new: int, seconds: float) -> str:
    head = f"{crops.folder}: {len(crops.index):,} crops of recipe {crops.recipe}"
    if not new:
        return f"{head}, all up to date"
    return f"{head}, {new:,} of them new, in {seconds:.0f} s ({new / seconds:,.0f} images/s)"


def _problems(crops: CropSet) -> list[str]:
    lines = []
    unreadable = crops.index["found"] == UNREADABLE
    for chosen, what in ((unreadable, "could not be read"), (~unreadable, "not perfect, but used")):
        problems = crops.index.loc[chosen & (crops.index["problem"] != ""), "problem"]
        if len(problems):
            more = f" (column `problem` of {crops.folder / INDEX})" if len(problems) > MAX_LINES else ""
            lines.append(f"  warning: {counted(len(problems), 'image')} {what}{more}:")
            lines.append(listed([f"  {image}: {problem}" for image, problem in problems.items()]))
    return lines
