from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from browser import browser, show
from tiny_competition import people, write_eval, write_train
from tiny_crops import write_crops

from shared.crops import open_crops
from shared.eda import Options, main
from shared.folds import UNKNOWN_CELL
from shared.manifest import load_training
from shared.messages import UserError
from shared.reports.dataset import CHANNELS, Split, contents, find_oddities, mean_and_std, measure_files


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of noise, none like another but for seven: broken, dark, bright, grey, blurred, long and copied."""
    data = tmp_path_factory.mktemp("eda") / "data"
    write_train(data / "train", people(12))
    write_eval(data)
    for number, path in enumerate(sorted(data.rglob("*.jpg"))):
        cv2.imwrite(str(path), noise(number))
    odd = {name: data / f"train/images/{people(12)[number]['path']}/normal.jpg" for number, name in enumerate(ODD)}
    odd["broken"].write_bytes(odd["broken"].read_bytes()[:300])
    cv2.imwrite(str(odd["dark"]), grey_noise(1) // 5)
    cv2.imwrite(str(odd["bright"]), 255 - grey_noise(2) // 5)
    cv2.imwrite(str(odd["flat"]), 120 + noise(3) // 40)
    cv2.imwrite(str(odd["blurred"]), cv2.GaussianBlur(grey_noise(4), (0, 0), 4).astype(float) * 6 - 5 * 127)
    cv2.imwrite(str(odd["long"]), np.hstack([noise(5)] * 3))
    odd["copied"].write_bytes((odd["broken"].parent / "mask1.jpg").read_bytes())
    return data


ODD = ("broken", "dark", "bright", "flat", "blurred", "long", "copied")


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (64, 48, 3)).astype(np.uint8)


def grey_noise(seed: int) -> np.ndarray:
    return noise(seed)[:, :, :1].repeat(3, axis=2)


@pytest.fixture(scope="module")
def facts(data: Path) -> pd.DataFrame:
    return measure_files(load_training(data / "train"), "train")


@pytest.fixture(scope="module")
def page(data: Path) -> Path:
    crops = data.parent / "crops"
    write_crops(load_training(data / "train"), crops / "train")
    index = pd.read_csv(crops / "train/index.csv")
    index.loc[index["image"].str.contains("incorrect"), "found"] = "prior"
    index.to_csv(crops / "train/index.csv", index=False)
    out = data.parent / "eda.html"
    main(Options(data, crops, out))
    return out


def test_the_page_opens_in_a_browser_with_all_sections_and_images_and_asks_for_nothing(page: Path) -> None:
    with browser() as driver:
        shown = show(driver, page)
    assert shown.title == "face18: the data"
    assert len(shown.sections) == 7
    assert shown.images > 8
    assert (shown.broken, shown.unnamed, shown.console) == ([], 0, [])
    assert shown.requests == [page.absolute().as_uri()]
    assert shown.overflow <= 0


def test_every_planted_oddity_is_told_and_no_other_of_that_kind(facts: pd.DataFrame) -> None:
    folders = [row["path"] for row in people(12)]
    wanted = {
        "Cannot be read": "broken",
        "Very dark": "dark",
        "Very bright": "bright",
        "Hardly any contrast": "flat",
        "Odd sizes": "long",
    }
    found = find_oddities(facts, None)
    for title, name in wanted.items():
        assert list(found[title]) == [f"{folders[ODD.index(name)]}/normal.jpg"], title
    # A flat and a dark image has little detail as well.
    assert f"{folders[ODD.index('blurred')]}/normal.jpg" in found["Blurred"]
    assert set(found["Blurred"]) <= {
        f"{folders[ODD.index(name)]}/normal.jpg" for name in ("blurred", "flat", "dark", "bright")
    }
    assert found["Cannot be read"] == {f"{folders[0]}/normal.jpg": "truncated"}
    assert found["The same file twice"] == {f"{folders[ODD.index('copied')]}/normal.jpg": f"as {folders[0]}/mask1.jpg"}


def test_mean_and_standard_deviation_are_those_of_all_pixels(tmp_path: Path) -> None:
    rows = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), noise(number) // (number + 1))
        rows.append((path.name, str(path)))
    facts = measure_files(pd.DataFrame(rows, columns=["image", "path"]), "three")
    pixels = np.concatenate([cv2.imread(path)[:, :, ::-1].reshape(-1, 3) for _, path in rows]) / 255
    mean, std = mean_and_std(facts)
    np.testing.assert_allclose(mean, pixels.mean(axis=0))
    np.testing.assert_allclose(std, pixels.std(axis=0))
    assert list(CHANNELS) == ["red", "green", "blue"]


def test_labels_and_detection_are_counted_by_cell_and_mask_state(page: Path, data: Path, facts: pd.DataFrame) -> None:
    assert "<pre>--mean 0." in page.read_text(encoding="utf-8")
    crops = open_crops(data.parent / "crops/train")
    values = contents({"train": Split(load_training(data / "train"), facts, crops)})
    [(_, cells)] = values["labels"]
    assert cells["persons"].tolist() == [2] * 6
    assert cells["images"].tolist() == [14] * 6
    # Twelve wrongly masked images without a face, and none of the others.
    assert values["faces"].loc["train, incorrect"].tolist() == [12, 0, 0, 12, 0, "0.00%", 0]
    assert values["faces"].loc["train, worn"].tolist() == [60, 60, 0, 0, 0, "100.00%", 0]


def test_unknown_labels_are_counted_as_such(tmp_path: Path) -> None:
    rows = [*people(3), people(4)[3] | {"gender": "unknown", "age": "unknown"}]
    write_train(tmp_path / "train", rows)
    table = load_training(tmp_path / "train")
    facts = measure_files(table.head(0), "none")
    split = Split(table, facts.assign(problem="", bytes=0.0, width=0, height=0), None)
    [(_, cells)] = contents({"train": split})["labels"]
    assert cells.loc[UNKNOWN_CELL, "persons"] == 1
    assert cells["persons"].sum() == 4


def test_a_page_without_crops_and_labels_tells_so(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "eda.html"
    main(Options(data / "eval", tmp_path / "nowhere", out, sample=4))
    text = out.read_text(encoding="utf-8")
    assert "there are no crops yet" in text
    assert "a random sample" in text
    assert "the folder has no train.csv" in text


def test_a_page_that_is_a_link_to_the_data_is_refused(data: Path, tmp_path: Path) -> None:
    table = (data / "train/train.csv").read_bytes()
    (tmp_path / "eda.html").symlink_to(data / "train/train.csv")
    with pytest.raises(UserError, match=r"--out .* would overwrite its input"):
        main(Options(data, tmp_path / "nowhere", tmp_path / "eda.html", sample=4))
    assert (data / "train/train.csv").read_bytes() == table
