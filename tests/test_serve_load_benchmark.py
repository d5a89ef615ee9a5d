"""The load benchmark would see answers that are mixed up."""

import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from serve_load import Round, check_distinct, row, same

from shared.messages import UserError


def answer(x: float, worn: float = 0.9) -> dict[str, Any]:
    mask = {"name": "worn" if worn > 0.5 else "none", "probabilities": {"worn": worn, "none": 1 - worn}}
    face = {"box": [x, 10.0, x + 50, 90.0], "landmarks": [[x + 10, 30.0]], "mask": mask, "age": {"years": 30.0}}
    return {"width": 384, "faces": [face], "problem": None}


def test_an_answer_in_other_company_is_the_same_and_that_of_another_image_is_not() -> None:
    assert same(answer(20.0), answer(20.1))
    assert same(answer(20.0, worn=0.51), answer(20.0, worn=0.49))
    assert not same(answer(20.0), answer(21.0))
    assert not same(answer(20.0), answer(20.0, worn=0.3))
    without = deepcopy(answer(20.0))
    without["faces"] = []
    assert not same(answer(20.0), without)


def test_images_that_can_not_be_told_apart_are_no_test() -> None:
    check_distinct([answer(20.0), answer(30.0)])
    with pytest.raises(UserError, match="image 1"):
        check_distinct([answer(20.0), answer(20.3)])


def test_a_row_counts_what_is_lost() -> None:
    one = Round(seconds=[0.1] * 98 + [0.5, 0.7], errors={"ReadTimeout ": 2}, wrong=1, asked=105, lasted=10.0)
    assert row(8, one, cpu=1.5, memory=800) == "| 8 | 100 | 10.0 | 100 | 700 | 2 ReadTimeout  | 1 | 3 | 150 | 800 |"
