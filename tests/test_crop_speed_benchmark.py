"""The crop benchmark compares like with like: round by round, and every round from the start."""

import os
import sys
from functools import partial
from pathlib import Path

import joblib
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from crop_speed import Options, Variant, in_rounds, speed_table

from shared.messages import UserError


def test_variants_take_turns_and_the_last_round_is_kept() -> None:
    calls: list[str] = []

    def called(name: str) -> int:
        calls.append(name)
        return len(calls)

    variants = {name: Variant(name, 1, partial(called, name)) for name in "ab"}
    seconds, returned = in_rounds(variants, 3)
    assert calls == ["a", "b"] * 3
    assert returned == {"a": 5, "b": 6}
    assert [len(values) for values in seconds.values()] == [3, 3]


def test_each_round_starts_processes_of_its_own() -> None:
    seen: list[set[int]] = []

    def work() -> None:
        seen.append(set(joblib.Parallel(2, backend="loky")(joblib.delayed(os.getpid)() for _ in range(2))))

    in_rounds({"a": Variant("", 1, work)}, 2)
    assert not seen[0] & seen[1]


def test_ratios_are_medians_of_what_was_measured_side_by_side() -> None:
    variants = {name: Variant("", 1, lambda: None) for name in ("(a)", "(c)", "(d)")}
    seconds = {"(a)": [0.1, 0.4, 0.2], "(c)": [0.02, 0.02, 0.02], "(d)": [0.01, 0.005, 0.01]}
    table = speed_table(variants, seconds).set_index("")
    assert list(table["times (a)"]) == ["1.0", "10.0", "20.0"]
    assert list(table["(d) is so many times faster"]) == ["20.0", "2.0", "1.0"]
    assert table.loc["(a)", "images/s (min-max)"] == "5 (2-10)"


def test_more_slow_images_than_images_are_refused() -> None:
    assert Options(slow=9000).images is None
    with pytest.raises(UserError, match="--slow 9"):
        Options(slow=9, images=8)
    with pytest.raises(UserError, match="--rounds"):
        Options(rounds=0)
