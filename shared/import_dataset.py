"""Lay a published face data set out as a competition folder, so that it can be trained on (`--extra`, `--data`).

    face18 import fairface --from ~/Downloads/FairFace --out data/fairface

Nothing is downloaded: `--help` and docs/own_data.md say where each data set is had. Every face becomes a row of
train/train.csv with one image below train/images/. Ages that are published as groups stay intervals ("20-29", "70+"),
unknown labels are "unknown". Faces of one person under several rows are paired in train/same_person.csv, for
`--group-duplicates`. Licence and credit are kept in train/SOURCE.json.
"""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import cv2
import numpy as np
import tyro
from tqdm import tqdm

from shared.commands import run
from shared.faces.image_io import UnusableImageError, decode
from shared.files import replacing, write_csv, write_text
from shared.labels import INCORRECT, NORMAL, WORN
from shared.manifest import SOURCE
from shared.messages import UserError, counted, listed
from shared.tables import UNKNOWN_LABEL, read_rows

MARGIN = 0.4
"""Added on every side of a published face box, as a share of its larger side: hair and chin belong to the crop."""

IMAGE_NAMES = {"none": NORMAL, "worn": WORN[0], "incorrect": INCORRECT}
"""Mask state to the file name that stands for it in a competition folder."""

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""


class FaceRecord(NamedTuple):
    """One labelled face of a published data set; labels are text, empty where unknown."""

    id: str
    file: Path
    gender: str = ""
    """male or female."""
    age: str = ""
    """Years ("34") or an interval ("20-29", "70+")."""
    mask: str = "none"
    """worn, incorrect or none."""
    person: str = ""
    """Name of the person where the data set gives one."""
    box: Box | None = None
    """Face box where the image may show more than this face."""


def read_fairface(folder: Path) -> Iterator[FaceRecord]:
    """Read fairface_label_train.csv and fairface_label_val.csv: file, age group, gender, race."""
    for table in _tables(folder, "fairface_label_*.csv"):
        for row in _rows(table, ("file", "age", "gender")):
            age = row["age"].replace("more than 70", "70+")
            yield FaceRecord(_id(row["file"]), folder / row["file"], row["gender"].lower(), age)


def read_utkface(folder: Path) -> Iterator[FaceRecord]:
    """Read labels from file names: AGE_GENDER_RACE_DATE.jpg with gender 0 for male and 1 for female."""
    for file, found in _named(folder, re.compile(r"(\d+)_([01])_\d+_.*")):
        yield FaceRecord(_id(file.name), file, ("male", "female")[int(found[2])], found[1])


def read_all_age_faces(folder: Path) -> Iterator[FaceRecord]:
    """Read labels from file names NUMBERaAGE.jpg; numbers up to 7380 are female, the others male."""
    for file, found in _named(folder, re.compile(r"(\d{5})A(\d+)")):
        yield FaceRecord(file.stem, file, "female" if int(found[1]) <= 7380 else "male", str(int(found[2])))


def read_agedb(folder: Path) -> Iterator[FaceRecord]:
    """Read labels from file names: INDEX_NAME_AGE_GENDER.jpg with gender m or f."""
    for file, found in _named(folder, re.compile(r"(\d+)_(.+)_(\d+)_([mf])")):
        yield FaceRecord(file.stem, file, {"m": "male", "f": "female"}[found[4]], found[3], person=found[2])


def read_imdb_clean(folder: Path) -> Iterator[FaceRecord]:
    """Read imdb_*.csv: filename, age, gender (M, F) and, where given, a box as x_min, y_min, x_max, y_max."""
    for table in _tables(folder, "imdb_*.csv"):
        for row in _rows(table, ("filename", "age", "gender")):
            person = re.search(r"nm\d+", row["filename"])
            yield FaceRecord(
                _id(row["filename"]),
                folder / row["filename"],
                _gender_letter(row["gender"]),
                row["age"],
                person=person[0] if person else "",
                box=_box(row, ("x_min", "y_min", "x_max", "y_max")),
            )


def read_lagenda(folder: Path) -> Iterator[FaceRecord]:
    """Read lagenda*.csv: img_name, age, gender (-1 for unknown) and the face box face_x0, face_y0, face_x1, face_y1."""
    for table in _tables(folder, "lagenda*.csv"):
        for number, row in enumerate(_rows(table, ("img_name", "age", "gender"))):
            box = _box(row, ("face_x0", "face_y0", "face_x1", "face_y1"))
            if box is not None:
                age = "" if row["age"].startswith("-") else row["age"]
                file = folder / row["img_name"]
                yield FaceRecord(f"{_id(row['img_name'])}-{number}", file, _gender_letter(row["gender"]), age, box=box)


def read_face_mask_detection(folder: Path) -> Iterator[FaceRecord]:
    """Read VOC annotations: annotations/*.xml name faces of images/ as with, without, or with a mask worn wrongly."""
    states = {"with_mask": "worn", "without_mask": "none", "mask_weared_incorrect": "incorrect"}
    for file in _tables(folder, "annotations/*.xml"):
        try:
            annotation = ElementTree.parse(file).getroot()
        except ElementTree.ParseError as error:
            raise UserError(f"{file} is not an XML annotation ({error}): get the data set again") from error
        image = folder / "images" / (annotation.findtext("filename") or "")
        for number, thing in enumerate(annotation.iter("object")):
            corners = [thing.findtext(f"bndbox/{name}") or "" for name in ("xmin", "ymin", "xmax", "ymax")]
            state = states.get(thing.findtext("name") or "")
            if state is not None and all(corners):
                x0, y0, x1, y1 = map(float, corners)
                yield FaceRecord(f"{file.stem}-{number}", image, mask=state, box=(x0, y0, x1, y1))


@dataclass(frozen=True)
class Dataset:
    """How a published data set is laid out, and under which terms it is had."""

    read: Callable[[Path], Iterator[FaceRecord]]
    where: str
    licence: str
    credit: str


DATASETS: Mapping[str, Dataset] = {
    "fairface": Dataset(read_fairface, "github.com/dchen236/FairFace", "CC BY 4.0", "Karkkainen and Joo, WACV 2021"),
    "utkface": Dataset(
        read_utkface, "susanqq.github.io/UTKFace", "non-commercial research only", "Zhang, Song and Qi, CVPR 2017"
    ),
    "lagenda": Dataset(
        read_lagenda,
        "wildchlamydia.github.io/lagenda",
        "annotations: see its page; photographs: Open Images, CC BY 2.0 as listed there",
        "Kuprashevich and Tolstykh, MiVOLO, 2023",
    ),
    "imdb-clean": Dataset(
        read_imdb_clean,
        "github.com/yiminglin-ai/imdb-clean",
        "academic research only",
        "Lin, Shen, Wang and Pantic, FP-Age, 2021; Rothe, Timofte and Van Gool, IMDB-WIKI, 2015",
    ),
    "all-age-faces": Dataset(
        read_all_age_faces, "github.com/JingchunCheng/All-Age-Faces-Dataset", "none stated", "Cheng et al., 2019"
    ),
    "agedb": Dataset(
        read_agedb,
        "ibug.doc.ic.ac.uk/resources/agedb",
        "non-commercial research only, on request",
        "Moschoglou et al., CVPR workshops 2017",
    ),
    "face-mask-detection": Dataset(
        read_face_mask_detection, "kaggle.com/datasets/andrewmvd/face-mask-detection", "CC0 1.0", "andrewmvd (Larxel)"
    ),
}
"""By the name that the command takes; "boostcamp" is laid out as we need it, and only checked."""

Name = Literal[
    "fairface", "utkface", "lagenda", "imdb-clean", "all-age-faces", "agedb", "face-mask-detection", "boostcamp"
]


@dataclass(frozen=True)
class Options:
    """Lay a published face data set out as a competition folder. Nothing is downloaded."""

    name: tyro.conf.Positional[Name]
    """The data set; boostcamp already has the right layout and needs no import."""

    source: Annotated[Path, tyro.conf.arg(name="from")]
    """The folder that the data set was unpacked to."""

    out: Path
    """The folder to make: train/train.csv and train/images/."""


def main(options: Options) -> None:
    if options.name == "boostcamp":
        raise UserError(f"boostcamp needs no import: check it with face18 check --data {options.source}")
    dataset = DATASETS[options.name]
    train = options.out / "train"
    if train.exists():
        raise UserError(f"{train} exists: name another folder with --out, or remove it")
    if not options.source.is_dir():
        raise UserError(f"--from {options.source} is not a folder; {options.name} is had at {dataset.where}")
    records = list(dataset.read(options.source))
    if not records:
        raise UserError(f"--from {options.source} holds no labelled image in the layout of {options.name}")
    problems = write_faces(records, train)
    terms = {"source": options.name, "where": dataset.where, "licence": dataset.licence, "credit": dataset.credit}
    write_text(train / SOURCE, json.dumps(terms, indent=2) + "\n")
    print(f"wrote {train}: {counted(len(records) - len(problems), 'face')} of {options.name}")
    print(f"licence: {dataset.licence}; credit: {dataset.credit} (kept in {train / SOURCE})")
    if problems:
        print(f"warning: {counted(len(problems), 'face')} left out:\n{listed(problems)}")


def write_faces(records: list[FaceRecord], train: Path) -> list[str]:
    """Write train.csv, images and same_person.csv; return why records were left out, one line each.

    The table is written last: without it the folder is not taken for data. Raises `UserError` if no face is left.
    """
    problems: list[str] = []
    kept: list[FaceRecord] = []
    for record in tqdm(records, unit=" faces", disable=None):
        try:
            _write_image(record, train / "images" / record.id)
            kept.append(record)
        except (OSError, UnusableImageError) as error:
            problems.append(f"{record.file}: {getattr(error, 'strerror', None) or error}")
    if not kept:
        raise UserError(f"no image could be read:\n{listed(problems)}")
    write_csv(train / "same_person.csv", [("id", "other"), *_same_person(kept)])
    rows = [(face.id, face.gender or UNKNOWN_LABEL, face.age or UNKNOWN_LABEL, face.id) for face in kept]
    write_csv(train / "train.csv", [("id", "gender", "age", "path"), *rows])
    return problems


def _same_person(records: list[FaceRecord]) -> Iterator[tuple[str, str]]:
    """Pairs of ids that chain all faces of a person together."""
    persons: dict[str, list[str]] = {}
    for record in records:
        if record.person:
            persons.setdefault(record.person, []).append(record.id)
    for ids in persons.values():
        yield from pairwise(ids)


def _write_image(record: FaceRecord, folder: Path) -> None:
    """Write the face as an image of a competition folder; files that need no cut are copied as they are."""
    name, suffix = IMAGE_NAMES[record.mask], record.file.suffix.lower()
    content = record.file.read_bytes()
    if record.box is not None or suffix not in (".jpg", ".jpeg", ".png"):
        pixels = decode(content, enough=10_000).pixels
        cut = pixels if record.box is None else _with_margin(pixels, record.box)
        _, encoded = cv2.imencode(".jpg", cv2.cvtColor(cut, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])
        content, suffix = encoded.tobytes(), ".jpg"
    with replacing(folder / f"{name}{suffix}") as temporary:
        temporary.write_bytes(content)


def _with_margin(pixels: np.ndarray, box: Box) -> np.ndarray:
    """The part of an image (H, W, 3) around a face box, `MARGIN` wider on each side where the image reaches."""
    x0, y0, x1, y1 = box
    margin = MARGIN * max(x1 - x0, y1 - y0)
    height, width = pixels.shape[:2]
    left, top = max(0, int(x0 - margin)), max(0, int(y0 - margin))
    right, bottom = min(width, int(np.ceil(x1 + margin))), min(height, int(np.ceil(y1 + margin)))
    if right - left < 1 or bottom - top < 1:
        raise UnusableImageError("its face box lies outside the image")
    return np.ascontiguousarray(pixels[top:bottom, left:right])


def _tables(folder: Path, pattern: str) -> list[Path]:
    files = sorted(folder.glob(pattern))
    if not files:
        raise UserError(f"--from {folder} holds no {pattern}: name the folder that the data set was unpacked to")
    return files


def _rows(table: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    rows, faults = read_rows(table, columns)
    if faults:
        raise UserError(f"{table} row {faults[0].row}: {faults[0].reason}. Get the data set again")
    return (row.text for row in rows)


def _named(folder: Path, pattern: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str]]]:
    for file in sorted(folder.rglob("*")):
        found = pattern.fullmatch(file.name.split(".")[0])
        if found and file.suffix.lower() in (".jpg", ".jpeg", ".png"):
            yield file, found


def _id(name: str) -> str:
    """A data set's file name as an id that is one folder name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", str(Path(name).with_suffix("")))


def _gender_letter(text: str) -> str:
    return {"m": "male", "f": "female", "male": "male", "female": "female"}.get(text.lower(), "")


def _box(row: Mapping[str, str], names: tuple[str, str, str, str]) -> Box | None:
    try:
        x0, y0, x1, y1 = (float(row[name]) for name in names)
    except (KeyError, ValueError):
        return None
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


if __name__ == "__main__":
    run(main, Options(tyro.MISSING, tyro.MISSING, tyro.MISSING))
