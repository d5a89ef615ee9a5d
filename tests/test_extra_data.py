"""--extra: persons to learn from who are never held out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_competition import people, write_train
from tiny_crops import write_crops
from tiny_training import FLAGS

from pipelines.age.years import OPEN, age_targets
from pipelines.gender.specialist import GENDER
from pipelines.mask.specialist import MASK
from shared.crops import open_crops
from shared.manifest import SOURCE, load_training
from shared.messages import UserError
from shared.sample_data import DRAWN
from shared.tracking import TABLE, read_runs
from shared.training.extra_data import extra_crop_folder, with_extra
from shared.training.fit import FoldTraining
from shared.training.inference import accelerator_for
from shared.training.options import TrainOptions
from shared.training.run import labelled_crops, train
from shared.training.sampling import NONE, held_out_data, prepare_fold


def further_people(count: int, first: str = "x") -> list[dict[str, str]]:
    return [row | {"id": first + row["id"], "path": first + row["path"]} for row in people(count)]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> TrainOptions:
    """12 base persons of seven images, and 6 extra ones of one bare image each; crops of both."""
    folder = tmp_path_factory.mktemp("extra")
    write_crops(load_training(write_train(folder / "data/train", people(12))), folder / "crops/train")
    extra = write_train(folder / "more", further_people(6), ("normal",))
    write_crops(load_training(extra), folder / "crops/more")
    tiny = {**FLAGS, "folds": 3}
    return TrainOptions.of(data=folder / "data", crops=folder / "crops", extra=(extra,), **tiny)


def bare_alone(options: TrainOptions) -> TrainOptions:
    """The extra folder, of bare faces, as the base data."""
    return options.with_values(data=options.data.extra[0], crops=options.data.crops / "more", extra=())


def joined(options: TrainOptions) -> tuple[pd.DataFrame, Any]:
    return with_extra(*labelled_crops(options.data), options.data, accelerator_for("cpu"))


def test_extra_persons_are_in_no_fold_and_their_crops_are_read(options: TrainOptions) -> None:
    table, crops = joined(options)
    extra = table[table["source"] == "more"]
    assert extra["image"].tolist()[0].startswith("more/x000001")
    assert set(extra["fold"]) == {-1}
    assert len(table) == len(crops.index) == 12 * 7 + 6
    own = open_crops(options.data.crops / "more")
    first = extra["image"].iloc[0]
    assert (crops.read(first) == own.read(first.removeprefix("more/"))).all()


def test_a_run_with_extra_persons_holds_out_base_persons_alone_and_says_what_it_used(
    options: TrainOptions, tmp_path: Path
) -> None:
    here = options.with_values(outputs=tmp_path / "run")
    (options.data.extra[0] / SOURCE).write_text(json.dumps(DRAWN))
    train(GENDER, here)
    held_out = pd.read_csv(tmp_path / "run/oof.csv")
    assert not held_out["person"].astype(str).str.startswith("x").any()
    report = json.loads((tmp_path / "run/run.json").read_text())
    assert report["extra"] == [{"folder": "more", "persons": 6, "images": 6}]
    # What SOURCE.json says of a folder; of one without, its name.
    assert report["sources"] == [{"source": "folder data", "licence": "unknown", "credit": "unknown"}, DRAWN]
    row = read_runs(tmp_path / TABLE).iloc[-1]
    assert "more" in str(row["options"]["extra"])
    with pytest.raises(UserError, match="the labels, images or folds changed"):
        train(GENDER, here.with_values(extra=()))


def test_the_mask_specialist_learns_from_bare_faces_alone(options: TrainOptions, tmp_path: Path) -> None:
    alone = bare_alone(options).with_values(outputs=tmp_path / "run")
    train(MASK, alone)
    assert len(pd.read_csv(tmp_path / "run/fold0/history.csv")) == 1
    assert (tmp_path / "run/oof.csv").exists()


def test_bare_held_out_faces_are_shown_in_every_mask_state(options: TrainOptions) -> None:
    alone = bare_alone(options)
    table, crops = labelled_crops(alone.data)
    rows = np.ones(len(table), dtype=bool)
    data, order, truth = held_out_data(MASK, alone, table, crops, rows)
    assert truth.tolist() == [0, 1, 2, 0, 1, 2]
    changed = [not torch.equal(data[draw][0], data[draw._replace(state=NONE)][0]) for draw in order]
    assert changed == [True, True, False, True, True, False]


def test_a_person_in_both_is_refused(options: TrainOptions, tmp_path: Path) -> None:
    same = write_train(tmp_path / "same", people(2), ("normal",))
    write_crops(load_training(same), options.data.crops / "same")
    with pytest.raises(UserError, match=r"2 ids .*belong to persons known already.*000001"):
        joined(options.with_values(extra=(same,)))


def test_a_person_in_both_under_two_ids_is_known_by_the_file(options: TrainOptions, tmp_path: Path) -> None:
    twin = write_train(tmp_path / "twin", further_people(2, "y"), ("normal",))
    write_crops(load_training(twin), options.data.crops / "twin")
    index = pd.read_csv(options.data.crops / "twin/index.csv")
    index.loc[0, "fingerprint"] = labelled_crops(options.data)[1].index["fingerprint"].iloc[6]
    index.to_csv(options.data.crops / "twin/index.csv", index=False)
    with pytest.raises(UserError, match=r"1 image .*the same files.*y000001"):
        joined(options.with_values(extra=(twin,)))


def test_folders_of_one_name_are_refused(options: TrainOptions) -> None:
    with pytest.raises(UserError, match="rename the folder"):
        joined(options.with_values(extra=options.data.extra * 2))


def test_crops_of_another_recipe_are_not_mixed_in(options: TrainOptions, tmp_path: Path) -> None:
    other = write_train(tmp_path / "uncropped", further_people(2, "z"), ("normal",))
    with pytest.raises(UserError, match="recipe-of-the-tests"):
        joined(options.with_values(extra=(other,)))


def test_crops_lie_where_the_crop_command_puts_them(tmp_path: Path) -> None:
    whole = tmp_path / "others"
    split = write_train(whole / "train", people(1), ("normal",))
    # python shared/crop_faces.py --data others --out crops/others makes crops/others/train.
    assert extra_crop_folder(Path("crops"), whole) == Path("crops/others/train")
    assert extra_crop_folder(Path("crops"), split) == Path("crops/others")


def test_each_source_has_its_own_top_code() -> None:
    heap = [60.0] * 30 + [float(age) for age in range(20, 60)]
    spread = [float(age) for age in range(20, 80)]
    table = pd.DataFrame({"age": heap + spread, "source": [""] * len(heap) + ["x"] * len(spread)})
    for top_code in ("auto", 60):
        censored = age_targets(table, top_code)[:, 1] == OPEN  # type: ignore[arg-type]
        assert censored[: len(heap)].sum() == 30
        assert censored[len(heap) :].sum() == 0
    assert (age_targets(table, "none")[:, 2] == 1).all()


def watch(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, str | None]]:
    """Note folder, learning rate and start of every network that is trained."""
    seen: list[tuple[str, float, str | None]] = []

    class Watched(FoldTraining):
        def __init__(self, specialist: Any, options: TrainOptions, data: Any, folder: Path, *rest: Any):
            start = rest[1] if len(rest) > 1 else None
            seen.append((folder.name, options.optimisation.lr, start and start.label))
            super().__init__(specialist, options, data, folder, *rest)

    monkeypatch.setattr("shared.training.run.FoldTraining", Watched)
    return seen


def test_folds_start_from_what_the_extra_persons_taught_at_a_rate_of_their_own(
    options: TrainOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watch(monkeypatch)
    here = options.with_values(outputs=tmp_path / "run", extra_epochs=2, lr=0.002, fold_lr=0.0005)
    weights = tmp_path / "run/extra/weights.safetensors"
    train(GENDER, here)
    assert seen == [("extra", 0.002, None), ("fold0", 0.0005, str(weights))]
    assert len(pd.read_csv(tmp_path / "run/extra/history.csv")) == 2
    assert not (tmp_path / "run/extra/resume.pt").exists()
    known = weights.read_bytes()
    train(GENDER, here.with_values(only_fold=1))
    assert seen[2:] == [("fold1", 0.0005, str(weights))]
    assert weights.read_bytes() == known
    report = json.loads((tmp_path / "run/run.json").read_text())
    assert report["options"]["fold_lr"] == 0.0005
    assert set(report["seconds"]) == {"fold0", "fold1", "extra"}
    row = read_runs(tmp_path / TABLE).iloc[-1]
    assert float(row["seconds"]) == pytest.approx(sum(report["seconds"].values()), abs=0.1)


def test_the_extra_stage_sees_extra_persons_alone(options: TrainOptions) -> None:
    table, crops = joined(options)
    extra = table[table["source"] != ""].assign(fold=[0, 1] * 3).reset_index(drop=True)
    assert len(prepare_fold(GENDER, options, extra, crops, 0).train) == 3
    assert len(prepare_fold(GENDER, options, table, crops, 0).train) == 8 * 7 + 6


def test_a_rate_for_folds_without_passes_before_them_is_refused(options: TrainOptions) -> None:
    with pytest.raises(UserError, match="--fold-lr must be above 0, and needs --extra-epochs"):
        options.with_values(fold_lr=0.0005)


def test_passes_over_nobody_are_refused(options: TrainOptions) -> None:
    with pytest.raises(UserError, match="--extra-epochs must be 0 or more, and needs --extra"):
        options.with_values(extra=(), extra_epochs=1)
