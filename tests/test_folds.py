from pathlib import Path
from random import Random

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.folds import assign_folds, check_folds
from shared.label_fixes import read_pairs
from shared.labels import age_band
from shared.messages import UserError

PEOPLE = st.lists(st.tuples(st.integers(0, 1), st.sampled_from([18.0, 29.9, 30.0, 45.0, 60.0, 90.0])), min_size=5)


def images(people: list[tuple[int, float]], each: int = 3) -> pd.DataFrame:
    """A training table of so many images of each person, given as gender and age."""
    rows = [(f"{number:04}", gender, age) for number, (gender, age) in enumerate(people) for _ in range(each)]
    return pd.DataFrame(rows, columns=["person", "gender", "age"])


@given(PEOPLE, st.integers(2, 5), st.integers(0, 3))
def test_every_person_has_one_fold_and_the_folds_are_even_in_every_cell(
    people: list[tuple[int, float]], folds: int, seed: int
) -> None:
    table = images(people)
    assigned = assign_folds(table, folds, seed)
    assert sorted(assigned.index) == sorted(table["person"].unique())
    assert set(assigned) == set(range(folds))

    persons = table.drop_duplicates("person").assign(fold=lambda rows: rows["person"].map(assigned))
    cells = [cell for _, cell in persons.groupby(["gender", persons["age"].map(age_band)])]
    for group in [persons, *cells]:
        sizes = group["fold"].value_counts().reindex(range(folds), fill_value=0)
        assert sizes.max() - sizes.min() <= 1


@given(PEOPLE, st.integers(0, 5), st.randoms(use_true_random=False))
def test_folds_do_not_depend_on_the_order_or_number_of_images(
    people: list[tuple[int, float]], seed: int, random: Random
) -> None:
    table = images(people)
    shuffled = table.iloc[random.sample(range(len(table)), len(table))]
    expected = assign_folds(table, 3, seed)
    pd.testing.assert_series_equal(assign_folds(shuffled, 3, seed), expected)
    pd.testing.assert_series_equal(assign_folds(images(people, each=1), 3, seed), expected)


def test_more_folds_than_persons_are_refused() -> None:
    with pytest.raises(UserError, match="3 persons cannot fill 4 folds"):
        assign_folds(images([(0, 20.0)] * 3), 4)


def test_a_person_with_two_genders_is_refused() -> None:
    table = pd.DataFrame({"person": ["a", "a", "b"], "gender": [0, 1, 0], "age": [20.0, 20.0, 20.0]})
    with pytest.raises(UserError, match="1 person of two genders or age bands: a"):
        assign_folds(table, 2)


def test_a_split_through_a_person_is_refused() -> None:
    persons, folds = pd.Series(["a", "a", "b", "b"]), pd.Series([0, 0, 1, 0])
    with pytest.raises(UserError, match=r"1 person in two folds.*: b"):
        check_folds(persons, folds)


def test_one_person_under_several_ids_is_held_out_together_and_nobody_else_moves() -> None:
    table = images([(number % 2, 20.0 + number) for number in range(40)])
    alone = assign_folds(table, 5)
    pairs = [("0007", "0003"), ("0031", "0007"), ("0020", "0021"), ("0002", "elsewhere")]
    joined = assign_folds(table, 5, together=pairs)
    assert joined[["0003", "0007", "0031"]].nunique() == joined[["0020", "0021"]].nunique() == 1
    assert joined["0003"] == alone["0003"]
    moved = joined.index[joined != alone]
    assert set(moved) <= {"0007", "0031", "0021"}
    assert len(moved) > 0
    pd.testing.assert_series_equal(assign_folds(table, 5, together=reversed(pairs)), joined)


def test_pairs_of_persons_are_read_from_a_file_and_half_a_pair_is_told(tmp_path: Path) -> None:
    file = tmp_path / "duplicates.csv"
    file.write_text("distance,id,other\n3,000001,000020\n")
    assert read_pairs(file) == [("000001", "000020")]
    file.write_text("id,other\n000001,000020\n000002,\n000003,000003\n")
    with pytest.raises(UserError, match=r"row 3 \(000002\).*two persons\n  row 4 \(000003\)"):
        read_pairs(file)
