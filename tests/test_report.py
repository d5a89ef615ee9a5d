"""The page about finished runs: what it measures, and that it opens."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import browser, show
from finished_runs import drawn, write_finished
from sklearn.calibration import calibration_curve

from shared.fusion.rules import reliability_bins
from shared.html_pages import render
from shared.messages import UserError
from shared.report import Options, main
from shared.reports.finished_runs import Evaluation, evaluate, read_finished_runs
from shared.reports.scores import contents, read_histories, worst_mistakes
from shared.tracking import Record, append


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_finished(tmp_path_factory.mktemp("finished"), drawn(18))


@pytest.fixture(scope="module")
def evaluation(outputs: Path) -> Evaluation:
    """Only the runs are named: runs.csv says where their data and crops are."""
    return evaluate(read_finished_runs(Options(outputs=outputs)), "average")


@pytest.fixture(scope="module")
def shown(evaluation: Evaluation) -> dict[str, Any]:
    """The values that the page shows."""
    return contents(evaluation)


@pytest.fixture(scope="module")
def page(outputs: Path) -> Path:
    main(Options(outputs=outputs))
    return outputs / "report.html"


def test_the_page_opens_in_a_browser_with_all_images_and_requests_nothing(page: Path) -> None:
    with browser() as driver:
        shown = show(driver, page)
    assert shown.title == "face18: report"
    assert len(shown.sections) == 9
    # Four confusion matrices, two of age, three each of reliability and learning; and faces.
    assert shown.images > 12
    assert (shown.broken, shown.unnamed, shown.console) == ([], 0, [])
    assert shown.requests == [page.absolute().as_uri()]
    assert shown.overflow <= 0


def test_the_page_loads_nothing_and_links_every_section(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    places = re.findall(r'(?:src|href)="([^"#]{1,40})', text) + re.findall(r"url\((.{1,40})", text)
    assert len(places) > 12
    assert [place for place in places if not place.startswith("data:")] == []
    assert "<script" not in text
    assert re.findall(r"<h2>(.+?)</h2>", text) == re.findall(r'<a href="#[^"]+">(.+?)</a>', text)


def test_texts_from_the_data_are_escaped(shown: dict[str, Any]) -> None:
    text = render("report.html", title="<b>", lead="a & b", **shown)
    assert "<h1>&lt;b&gt;</h1>" in text
    assert "<th>&lt;30</th>" in text


def test_reliability_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    given = random.dirichlet(np.ones(3), 500)
    truth = random.integers(0, 3, 500)
    confidence, correct = given.max(axis=1), given.argmax(axis=1) == truth
    expected_correct, expected_confidence = calibration_curve(correct, confidence, n_bins=10)
    mean, accuracy, counts = reliability_bins(given, truth, 10)
    np.testing.assert_allclose(mean, expected_confidence)
    np.testing.assert_allclose(accuracy, expected_correct)
    assert counts.sum() == 500


def test_worst_mistakes_are_the_most_confident_wrong_predictions_one_per_person(evaluation: Evaluation) -> None:
    worst = worst_mistakes(evaluation, "age")
    assert 0 < len(worst) <= 12
    assert worst["person"].is_unique
    assert (worst["predicted"] != worst["truth"]).all()
    predicted = evaluation.held_out.predictions["age"][["<30", "30-59", ">=60"]].to_numpy()
    truth = evaluation.held_out.truth["age"]
    wrong = predicted.argmax(axis=1) != truth
    assert worst["p_truth"].iloc[0] == predicted[wrong, truth[wrong]].min()


def test_without_data_and_crops_the_page_says_what_is_missing(outputs: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    main(Options(outputs=outputs, out=tmp_path / "bare.html", data=nowhere, crops=nowhere, fixes=()))
    text = (tmp_path / "bare.html").read_text(encoding="utf-8")
    assert "true ages in years need --data" in text
    assert "the crops are not at hand (--crops)" in text
    assert "data:image/jpeg" not in text


def test_runs_that_kept_the_best_epoch_are_reported_as_too_optimistic(page: Path, tmp_path: Path) -> None:
    assert "Too optimistic" not in page.read_text(encoding="utf-8")
    outputs = write_finished(tmp_path, drawn(6))
    run = json.loads((outputs / "age/run.json").read_text())
    (outputs / "age/run.json").write_text(json.dumps({**run, "options": {**run["options"], "keep": "best"}}))
    main(Options(outputs=outputs))
    assert "Too optimistic" in (outputs / "report.html").read_text(encoding="utf-8")


def test_labels_other_than_those_trained_on_are_refused(outputs: Path, tmp_path: Path) -> None:
    fixes = tmp_path / "fixes.csv"
    fixes.write_text("id,image,field,value\n00003,,gender,flip\n")
    with pytest.raises(UserError, match=r"disagree about the gender of 7 images.*--fixes"):
        main(Options(outputs, tmp_path / "report.html", fixes=(fixes,)))


def test_rows_that_the_training_skipped_are_skipped_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = write_finished(tmp_path, drawn(6))
    monkeypatch.chdir(tmp_path)
    with Path("data/train/train.csv").open("a", encoding="utf-8") as file:
        file.write("99999,nobody,Asian,30,99999\n")
    with pytest.raises(UserError, match="--skip-bad"):
        read_finished_runs(Options(outputs=outputs))
    trained = {"data": "data", "crops": "crops", "fixes": (), "skip_bad": True}
    append(outputs / "runs.csv", Record("training", "age", outputs / "age", 4.0, {"macro_f1": 0.5}, trained))
    # A later score of the run has options of its own; it is no training.
    append(outputs / "runs.csv", Record("score", "age", outputs / "age", 1.0, {"macro_f1": 0.6}, {"repeats": 3}))
    labels = read_finished_runs(Options(outputs=outputs)).labels
    assert labels is not None
    assert len(labels) == 6 * 7


def test_a_page_that_is_a_link_to_a_prediction_file_is_refused(outputs: Path, tmp_path: Path) -> None:
    predictions = (outputs / "age/oof.csv").read_bytes()
    (tmp_path / "report.html").symlink_to(outputs / "age/oof.csv")
    with pytest.raises(UserError, match=r"--out .* would overwrite its input"):
        main(Options(outputs, tmp_path / "report.html"))
    assert (outputs / "age/oof.csv").read_bytes() == predictions


def test_a_missing_run_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mask/oof.csv is missing: python -m pipelines.mask.train"):
        main(Options(outputs=tmp_path))


def test_run_details_hold_folds_extra_stage_and_origin(evaluation: Evaluation, shown: dict[str, Any]) -> None:
    histories = read_histories(evaluation.runs, "age")
    assert set(histories) == {*(f"fold{fold}" for fold in range(5)), "extra"}
    assert set(shown["origins"].loc["folds trained"]) == {"1"}
    assert set(shown["origins"].loc["training"]) == {"8 s"}
