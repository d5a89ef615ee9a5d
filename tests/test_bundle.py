"""A bundle predicts as its runs do; one from a stranger does no harm, and what is wrong with it is named."""

import json
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn_faces import files
from tiny_model import entries, write_model

from shared.bundle import Options, main
from shared.bundle_source import MANIFEST
from shared.faces.alignment import RECIPE
from shared.messages import UserError
from shared.predictor import Predictor, bundle_file
from shared.predictor.bundle_file import CARD, open_bundle

ROOT = Path(__file__).parents[1]
WEIGHTS = "mask/0/fold0.safetensors"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "outputs", folds=2)


@pytest.fixture(scope="module")
def bundle(model: Path) -> Path:
    out = model.parent / "face18.zip"
    main(Options(out=out, model=model))
    return out


@pytest.fixture
def content(bundle: Path) -> dict[str, bytes]:
    """The files of the bundle, to be tampered with."""
    return entries(bundle)


def packed(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def changed(content: dict[str, bytes], change: Callable[[Any], object]) -> dict[str, bytes]:
    manifest = json.loads(content[MANIFEST])
    change(manifest)
    return {**content, MANIFEST: json.dumps(manifest).encode()}


def test_a_bundle_predicts_as_the_runs_that_it_was_made_of(model: Path, bundle: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "unpacked"
    main(Options(out=unpacked, model=model))
    expected = Predictor.load(model, device="cpu")(files()[:3])
    assert expected[0].faces
    for packed in (bundle, unpacked):
        predictions = Predictor.load(packed, device="cpu")(files()[:3])
        assert [replace(photograph, model=None) for photograph in predictions] == [
            replace(photograph, model=None) for photograph in expected
        ]
        assert predictions[0].model.fingerprint == expected[0].model.fingerprint


def test_it_holds_weights_decisions_and_a_card_and_nothing_that_could_be_unpickled(content: dict[str, bytes]) -> None:
    weights = [f"{task}/0/fold{fold}.safetensors" for task in ("mask", "gender", "age") for fold in range(2)]
    assert set(content) == {MANIFEST, CARD, *weights}
    manifest = json.loads(content[MANIFEST])
    assert (manifest["recipe"]["id"], manifest["recipe"]["size"]) == (RECIPE.id, 256)
    assert manifest["age_interval"]["coverage"]["persons"] == 30
    assert "torch" in manifest["about"]["provenance"]["versions"]


def test_the_card_has_scores_with_intervals_by_group_limits_and_use(content: dict[str, bytes]) -> None:
    card = content[CARD].decode()
    for part in ("## Scores", "| all 18 classes |", "| incorrect |", "## Limits", "Not for", "80 % interval"):
        assert part in card
    # Every score comes with an interval, 0.xxx [0.xxx, 0.xxx], and that of a share has a width.
    rows = [row for row in card.splitlines() if row.startswith(("| gender |", "| worn |", "| male", "| female"))]
    assert len(rows) == 8
    for row in rows:
        for cell in (cell for cell in row.split("|") if "[" in cell):
            value, low, high = (float(number.strip("[],")) for number in cell.split())
            assert low <= value <= high
            assert row.startswith("| gender") or high - low > 0.05


def test_what_it_was_trained_on_follows_into_predictions_and_card(bundle: Path, content: dict[str, bytes]) -> None:
    predictor = Predictor.load(bundle, device="cpu")
    (photograph,) = predictor(files()[0])
    assert photograph.to_dict()["model"] == {
        "name": "face18.zip",
        "trained_on": "drawings",
        "fingerprint": predictor.fingerprint,
    }
    assert "Trained on drawings" in content[CARD].decode()
    assert "| drawings | that of face18 | drawn by face18 sample |" in content[CARD].decode()


def test_data_that_its_start_was_trained_on_are_named_too(model: Path, tmp_path: Path) -> None:
    runs = shutil.copytree(model, tmp_path / "outputs")
    for task in ("gender", "age"):
        file = runs / task / "run.json"
        start = [{"source": "faces", "licence": "CC BY 4.0", "credit": "somebody"}]
        file.write_text(json.dumps({**json.loads(file.read_text()), "start_sources": start}))
    main(Options(out=tmp_path / "b.zip", model=runs))
    source, contents = open_bundle(tmp_path / "b.zip")
    assert contents.trained_on() == "drawings; it started from a network trained on faces"
    assert "| faces | CC BY 4.0 | somebody |" in source.read(CARD, 1 << 20).decode()


@pytest.mark.parametrize("about", [{}, {"sources": []}, {"sources": 7}, {"sources": ["x"]}, {"sources": [{}]}])
def test_a_bundle_that_does_not_say_what_it_was_trained_on_is_of_unknown_origin(
    content: dict[str, bytes], tmp_path: Path, about: dict[str, object]
) -> None:
    def silent(manifest: dict[str, object]) -> None:
        manifest["about"] = about

    _, contents = open_bundle(packed(tmp_path / "silent.zip", changed(content, silent)))
    assert contents.trained_on() == "data of unknown origin"


def test_several_runs_of_a_specialist_are_averaged(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "age"
    shutil.copytree(model / "age", copy)
    main(Options(out=tmp_path / "twice.zip", model=model, age=(model / "age", copy)))
    once, twice = Predictor.load(model, device="cpu"), Predictor.load(tmp_path / "twice.zip", device="cpu")
    assert len(twice.specialists["age"].networks) == 2 * len(once.specialists["age"].networks)
    ages = [predictor(files()[:1])[0].faces[0].age.years for predictor in (once, twice)]
    assert ages[0] == pytest.approx(ages[1])


def test_without_held_out_predictions_nothing_is_fitted_and_the_card_says_so(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "outputs"
    shutil.copytree(model, copy)
    (copy / "age/oof.csv").unlink()
    main(Options(out=tmp_path / "plain.zip", model=copy))
    predictor = Predictor.load(tmp_path / "plain.zip", device="cpu")
    assert set(predictor.contents.decisions.fitted_rule.temperatures.values()) == {1.0}
    assert "not known" in predictor.card


def test_a_folder_with_other_files_is_not_written_into(model: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something other"):
        main(Options(out=tmp_path, model=model))
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_bundle_does_not_overwrite_its_runs(model: Path, tmp_path: Path) -> None:
    run = tmp_path / "age.zip"
    shutil.copytree(model / "age", run)
    before = sorted(run.rglob("*"))
    for out in (run, run / "fold0"):
        with pytest.raises(UserError, match=r"--out .* would overwrite its input"):
            main(Options(out=out, model=model, age=(run,)))
    assert sorted(run.rglob("*")) == before


@pytest.mark.parametrize(
    "name",
    ["../../outside.safetensors", "/etc/passwd", "a/../../b", "..\\b", ".hidden", "C:/x", "a//b", "", 7, None, ["a"]],
)
def test_names_that_lead_elsewhere_are_refused(content: dict[str, bytes], tmp_path: Path, name: object) -> None:
    hostile = changed(content, lambda manifest: manifest["specialists"]["mask"][0].update(weights=[name]))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / MANIFEST).write_bytes(hostile[MANIFEST])
    for path in (packed(tmp_path / "b.zip", hostile), folder):
        with pytest.raises(UserError, match="no bundle may have"):
            Predictor.load(path)


def test_files_that_the_manifest_does_not_name_are_never_touched(content: dict[str, bytes], tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    archive = packed(tmp_path / "b.zip", {**content, "../../evil.py": b"evil", "/tmp/evil.py": b"evil"})
    Predictor.load(archive, device="cpu")
    assert set(tmp_path.rglob("*")) == {*before, archive}


@pytest.mark.parametrize(
    ("name", "reason"),
    [(MANIFEST, r"face18.json is larger than"), (WEIGHTS, "fold0.safetensors is compressed beyond all reason")],
)
def test_an_entry_of_boundless_size_is_not_unpacked(
    content: dict[str, bytes], tmp_path: Path, name: str, reason: str
) -> None:
    bomb = packed(tmp_path / "b.zip", {**content, name: b" " * (64 << 20)})
    assert bomb.stat().st_size < 4 << 20
    with pytest.raises(UserError, match=reason):
        Predictor.load(bomb, device="cpu")


def test_networks_that_take_too_much_in_all_are_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_file, "MAX_TOTAL", bundle.stat().st_size // 2)
    with pytest.raises(UserError, match="its networks take more than"):
        open_bundle(bundle)


BROKEN: dict[str, Callable[[Any], object]] = {
    "no format": lambda manifest: manifest.pop("format"),
    "a specialist is missing": lambda manifest: manifest["specialists"].pop("age"),
    "no network": lambda manifest: manifest["specialists"].update(age=[]),
    "a run without weights": lambda manifest: manifest["specialists"]["age"][0].update(weights=[]),
    "too many networks": lambda manifest: manifest["specialists"]["age"][0].update(
        weights=[f"{number}.safetensors" for number in range(1000)]
    ),
    "a network twice": lambda manifest: manifest["specialists"]["mask"][0]["weights"].append(WEIGHTS),
    "unknown tta": lambda manifest: manifest["specialists"]["age"][0].update(tta="every"),
    "temperature of nothing": lambda manifest: manifest["decisions"]["temperatures"].update(mask=None),
    "temperature zero": lambda manifest: manifest["decisions"]["temperatures"].update(mask=0),
    "not a number": lambda manifest: manifest["decisions"]["temperatures"].update(mask=float("nan")),
    "thresholds beyond all years": lambda manifest: manifest["decisions"].update(thresholds=[30, 1e9]),
    "three thresholds": lambda manifest: manifest["decisions"].update(thresholds=[30, 40, 60]),
    "few class weights": lambda manifest: manifest["decisions"].update(class_weights={"weights": [1], "offsets": [0]}),
    "interval of text": lambda manifest: manifest["age_interval"].update(below="wide"),
    "a list": lambda manifest: manifest.update(decisions=[]),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_manifest_is_refused(content: dict[str, bytes], tmp_path: Path, fault: str) -> None:
    with pytest.raises(UserError, match=r"b.zip is no whole bundle: face18.json is broken .* Get it again"):
        Predictor.load(packed(tmp_path / "b.zip", changed(content, BROKEN[fault])))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"format": 1e999}'])
def test_a_manifest_that_is_no_json_is_refused(content: dict[str, bytes], tmp_path: Path, text: bytes) -> None:
    with pytest.raises(UserError, match=r"b.zip is (no whole|a) bundle"):
        Predictor.load(packed(tmp_path / "b.zip", {**content, MANIFEST: text}))


def test_another_format_or_recipe_is_refused(content: dict[str, bytes], tmp_path: Path) -> None:
    later = changed(content, lambda manifest: manifest.update(format=99))
    with pytest.raises(UserError, match="a bundle of format 99"):
        Predictor.load(packed(tmp_path / "later.zip", later))
    other = changed(content, lambda manifest: manifest["recipe"].update(id="deadbeef"))
    with pytest.raises(UserError, match="needs crops of recipe deadbeef"):
        Predictor.load(packed(tmp_path / "other.zip", other))


ODD = (None, True, -1, 0, 1e308, float("inf"), float("nan"), "x", [], {}, [[]], {"a": 1}, 10**400, "../x", [None] * 18)


def with_one_value_replaced(value: Any, random: np.random.Generator) -> Any:
    """The same JSON with one of `ODD` somewhere in it."""
    if isinstance(value, dict) and value and random.random() < 0.8:
        key = list(value)[random.integers(len(value))]
        return {**value, key: with_one_value_replaced(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.7:
        at = int(random.integers(len(value)))
        return [*value[:at], with_one_value_replaced(value[at], random), *value[at + 1 :]]
    return ODD[random.integers(len(ODD))]


def test_a_manifest_with_any_value_anywhere_is_read_or_refused(content: dict[str, bytes], tmp_path: Path) -> None:
    random, manifest, refused = np.random.default_rng(0), json.loads(content[MANIFEST]), 0
    with zipfile.ZipFile(packed(tmp_path / "b.zip", content)) as archive:
        archive.extractall(tmp_path)
    for _ in range(300):
        (tmp_path / MANIFEST).write_text(json.dumps(with_one_value_replaced(manifest, random)))
        try:
            open_bundle(tmp_path)
        except UserError:
            refused += 1
    assert refused > 100


def header(**changes: object) -> bytes:
    """A safetensors file that holds the metadata of a mask network, with changes, and nothing else."""
    metadata = {
        "specialist": "mask",
        "classes": ["worn", "incorrect", "none"],
        "window": {"side": 1.0, "centre_x": 0.5, "centre_y": 0.5},
        "backbone": "test_efficientnet",
        "outputs": 3,
        "size": 32,
        "recipe": RECIPE.id,
    }
    text = json.dumps({"__metadata__": {"face18": json.dumps({**metadata, **changes})}}).encode()
    return struct.pack("<Q", len(text)) + text


OTHER = "not the network of a mask specialist"


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (b"", "not a whole weights file"),
        (b"\xff" * 100, "not a whole weights file"),
        (struct.pack("<Q", 1 << 60) + b"{}", "not a whole weights file"),
        (header(command="rm"), "not a whole weights file"),
        (header(specialist="age"), OTHER),
        (header(outputs=10**9), OTHER),
        (header(size=10**6), OTHER),
        (header(size="32"), OTHER),
        (header(backbone=["test_efficientnet"]), OTHER),
        (header(distribution="exec"), OTHER),
        (header(recipe="deadbeef"), "trained on crops of recipe deadbeef"),
        (header(backbone="hf_hub:somebody/evil"), "timm knows no such model"),
        (header(), "does not fit its own backbone"),
    ],
)
def test_weights_that_are_not_what_they_claim_are_refused(
    content: dict[str, bytes], tmp_path: Path, weights: bytes, reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        Predictor.load(packed(tmp_path / "b.zip", {**content, WEIGHTS: weights}), device="cpu")


def test_a_large_backbone_without_its_tensors_is_refused_before_memory_is_allocated(
    content: dict[str, bytes], tmp_path: Path
) -> None:
    hostile = packed(tmp_path / "b.zip", {**content, WEIGHTS: header(backbone="vit_large_patch16_224", size=224)})
    code = """
import resource, sys
import shared.training.model
from shared.messages import UserError
from shared.predictor import Predictor, bundle_file
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    Predictor.load(sys.argv[1], device="cpu")
except UserError as error:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, error)
"""
    done = subprocess.run([sys.executable, "-c", code, hostile], capture_output=True, text=True, check=True, cwd=ROOT)
    mebibytes, _, error = done.stdout.partition(" ")
    assert "does not fit its own backbone vit_large_patch16_224" in error
    assert int(mebibytes) < 200  # Its weights alone take 1,200.


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, crater: Path):
        self._crater = crater

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self._crater,)


def test_pickles_do_not_go_off(content: dict[str, bytes], tmp_path: Path) -> None:
    crater = tmp_path / "crater"
    torch.save(Bomb(crater), tmp_path / "bomb.pt")
    for bomb in (pickle.dumps(Bomb(crater)), (tmp_path / "bomb.pt").read_bytes()):
        for name in (MANIFEST, WEIGHTS):
            with pytest.raises(UserError):
                Predictor.load(packed(tmp_path / "b.zip", {**content, name: bomb}), device="cpu")
    with pytest.raises(UserError, match="no whole bundle"):
        Predictor.load(tmp_path / "bomb.pt")  # torch's own files are zip archives too.
    assert not crater.exists()


def test_a_file_that_is_no_archive_or_cut_short_is_refused(bundle: Path, tmp_path: Path) -> None:
    whole = bundle.read_bytes()
    for number, data in enumerate((b"", b"text", whole[: len(whole) // 2], whole[:-10])):
        path = tmp_path / f"{number}.zip"
        path.write_bytes(data)
        with pytest.raises(UserError, match=f"{number}.zip is no bundle"):
            Predictor.load(path)


def test_a_flipped_bit_is_noticed(content: dict[str, bytes], tmp_path: Path) -> None:
    path = packed(tmp_path / "b.zip", content)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo(WEIGHTS).header_offset
    data[start + 2000] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"broken|cannot be read"):
        Predictor.load(path, device="cpu")


def test_a_missing_file_is_named(content: dict[str, bytes], tmp_path: Path) -> None:
    del content[WEIGHTS]
    with pytest.raises(UserError, match=f"no whole bundle: {WEIGHTS} is missing"):
        Predictor.load(packed(tmp_path / "b.zip", content))
