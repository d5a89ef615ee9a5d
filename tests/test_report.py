import re
from pathlib import Path

import numpy as np
import pytest
from browser import browser, show
from finished_runs import drawn, write_finished
from sklearn.calibration import calibration_curve
from sklearn.metrics import f1_score, precision_recall_fscore_support

from shared.fusion.intervals import bootstrap_score, mean_interval, person_codes, share_interval
from shared.fusion.predictions import join_held_out
from shared.messages import UserError
from shared.report import Options, main
from shared.reports import runs as run_sections
from shared.reports import scores as age_sections
from shared.reports import scores as trust_sections
from shared.reports.finished_runs import Finished, read_finished
from shared.reports.runs import read_histories
from shared.reports.scores import age_errors, all_scores, classes, reliability_bins, worst_mistakes
from shared.tracking import Record, append

SECTIONS = [
    "Scores",
    "Confusion matrices",
    "Class by class",
    "By mask state",
    "Age in years",
    "Age thresholds",
    "Reliability",
    "Worst mistakes",
    "Learning curves",
    "What was run",
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_finished(tmp_path_factory.mktemp("finished"), drawn(18))


@pytest.fixture(scope="module")
def options(outputs: Path) -> Options:
    """Nothing but the runs is named: where data and crops are is told by runs.csv."""
    return Options(outputs=outputs)


@pytest.fixture(scope="module")
def finished(options: Options) -> Finished:
    return read_finished(options.runs(), None, None, None, "average")


@pytest.fixture(scope="module")
def page(options: Options) -> Path:
    main(options)
    return options.page


def test_the_page_opens_in_a_browser_with_all_sections_and_images_and_asks_for_nothing(page: Path) -> None:
    with browser() as driver:
        shown = show(driver, page)
    assert shown.title == "face18: report"
    assert shown.sections == SECTIONS
    # Four confusion matrices, two of age, two of thresholds, three each of reliability and learning; and faces.
    assert shown.images > 14
    assert shown.broken == []
    assert shown.unnamed == 0
    assert shown.console == []
    assert shown.requests == [page.absolute().as_uri()]
    assert shown.overflow <= 0


def test_the_page_names_no_other_place(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    places = re.findall(r'(?:src|href)="([^"#]{1,40})', text) + re.findall(r"url\((.{1,40})", text)
    assert len(places) > 14
    assert [place for place in places if not place.startswith("data:")] == []
    assert "<script" not in text


def test_the_page_tells_what_was_run(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for told in ("0123456789ab", "--lr", "0.25", "2.15", "train.py", "The latest 1 of 1 rows of runs.csv"):
        assert told in text


def test_precision_recall_and_f1_are_those_of_scikit_learn(finished: Finished) -> None:
    scores = all_scores(finished)
    text = "".join(classes(scores).parts)
    assert len(scores) == 4
    for scored in scores:
        labels = range(len(scored.classes))
        table = precision_recall_fscore_support(scored.truth, scored.predicted, labels=labels, zero_division=0)
        for *values, support in zip(*table, strict=True):
            assert "".join(f"<td>{value:.3f}</td>" for value in values) + f"<td>{support}</td>" in text


def test_intervals_are_around_the_score_of_scikit_learn(finished: Finished) -> None:
    persons = person_codes(finished.held_out.persons)
    for scored in all_scores(finished):
        count = len(scored.classes)
        interval = bootstrap_score(scored.truth, scored.predicted, persons, count)
        expected = f1_score(scored.truth, scored.predicted, labels=range(count), average="macro", zero_division=0)
        assert interval.value == pytest.approx(expected)
        assert interval.low <= interval.value <= interval.high
    off = mean_interval(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 1]))
    assert off.value == pytest.approx(3)
    assert (off.low, off.high) == (2, 5)  # Whoever is drawn: the mean of two images, of one, or of both persons.


def test_a_share_of_few_persons_has_a_wide_interval_even_where_all_are_right() -> None:
    # Wilson's bounds by hand: with z = 1.96, all of n right gives n / (n + z^2) as the lower end.
    one = share_interval(np.ones(7, bool), np.zeros(7, int))
    assert one == pytest.approx((1, 1 / (1 + 1.96**2), 1))
    twenty = share_interval(np.ones(40, bool), np.repeat(np.arange(20), 2))
    assert twenty == pytest.approx((1, 20 / (20 + 1.96**2), 1))
    half = share_interval(np.arange(20) % 2 == 0, [f"person {number}" for number in range(20)])
    assert half.low + half.high == pytest.approx(1)
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I: 81 of 263.
    known = share_interval(np.arange(263) < 81, np.arange(263))
    assert known == pytest.approx((81 / 263, 0.2553, 0.3662), abs=5e-5)


def test_reliability_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    given = random.dirichlet(np.ones(3), 500)
    truth = random.integers(0, 3, 500)
    confidence, right = given.max(axis=1), given.argmax(axis=1) == truth
    expected_right, expected_confidence = calibration_curve(right, confidence, n_bins=10)
    mean, accuracy, counts = reliability_bins(given, truth)
    np.testing.assert_allclose(mean, expected_confidence)
    np.testing.assert_allclose(accuracy, expected_right)
    assert counts.sum() == 500


def test_worst_mistakes_are_the_surest_wrong_answers_one_for_each_person(finished: Finished) -> None:
    worst = worst_mistakes(finished, "age")
    assert 0 < len(worst) <= 12
    assert worst["person"].is_unique
    assert (worst["said"] != worst["truth"]).all()
    assert worst["p_truth"].is_monotonic_increasing
    answers = finished.held_out.predictions["age"][["<30", "30-59", ">=60"]].to_numpy()
    truth = finished.held_out.truth["age"]
    wrong = answers.argmax(axis=1) != truth
    assert worst["p_truth"].iloc[0] == answers[wrong, truth[wrong]].min()


def test_age_error_is_predicted_less_true_age(finished: Finished) -> None:
    error = age_errors(finished)
    assert error is not None
    assert finished.labels is not None
    image = finished.held_out.persons.index[3]
    said = finished.held_out.predictions["age"]["age"].loc[image]
    assert error[3] == pytest.approx(said - finished.labels["age"].loc[image])


def test_what_is_decided_is_cross_fitted_as_combine_does(finished: Finished, outputs: Path) -> None:
    held_out = join_held_out({task: [outputs / task / "oof.csv"] for task in ("mask", "gender", "age")})
    assert finished.settled.cross_fitted.held_out.persons.equals(held_out.persons)
    assert len(finished.settled.predicted) == len(held_out.persons)
    assert "on persons not learnt on" in finished.remark


def test_without_data_and_crops_the_sections_say_what_is_missing(options: Options, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    bare = read_finished(options.runs(), nowhere, nowhere, (), "average")
    assert "true ages in years need --data" in "".join(age_sections.age(bare).parts)
    shown = "".join(trust_sections.mistakes(bare).parts)
    assert "the crops are not at hand (--crops)" in shown
    assert "said" in shown
    assert "<img" not in shown


def test_labels_other_than_those_trained_on_are_refused(options: Options, tmp_path: Path) -> None:
    fixes = tmp_path / "fixes.csv"
    fixes.write_text("id,image,field,value\n00003,,gender,flip\n")
    with pytest.raises(UserError, match=r"disagree about the gender of 7 images.*--fixes"):
        main(Options(options.outputs, tmp_path / "report.html", fixes=(fixes,)))


def test_rows_that_a_training_left_out_are_left_out_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = write_finished(tmp_path, drawn(6))
    monkeypatch.chdir(tmp_path)
    with Path("data/train/train.csv").open("a", encoding="utf-8") as file:
        file.write("99999,nobody,Asian,30,99999\n")
    asked = Options(outputs=outputs)
    with pytest.raises(UserError, match="--skip-bad"):
        read_finished(asked.runs(), None, None, None, "average")
    trained = {"data": "data", "crops": "crops", "fixes": (), "skip_bad": True}
    append(outputs / "runs.csv", Record("training", "age", outputs / "age", 4.0, {"macro_f1": 0.5}, trained))
    # A benchmark asks the run something later, with options of its own; that is no training.
    append(outputs / "runs.csv", Record("score", "age", outputs / "age", 1.0, {"macro_f1": 0.6}, {"repeats": 3}))
    finished = read_finished(asked.runs(), None, None, None, "average")
    assert finished.labels is not None
    assert len(finished.labels) == 6 * 7


def test_a_missing_run_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mask/oof.csv is missing: python -m pipelines.mask.train"):
        main(Options(outputs=tmp_path))


def test_a_page_has_to_be_html(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--out .*must end in .html"):
        Options(out=tmp_path / "report.pdf")


def test_learning_curves_have_the_passes_over_extra_persons_beside_the_folds(finished: Finished) -> None:
    assert set(read_histories(finished, "age")) == {*(f"fold{fold}" for fold in range(5)), "extra"}
    origins = {key: rest for key, *rest in run_sections._origins(finished)}
    assert set(origins["folds trained"]) == {"1"}
    assert set(origins["training"]) == {"8 s"}
