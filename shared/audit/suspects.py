"""Labels that held-out answers contradict, by confident learning (cleanlab).

Northcutt, Jiang & Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021.

Gender and age are labels of a person, so the answers to a person's pictures are averaged first. How the mask is worn is
a label of a picture; and since the usual error is that two pictures of a person have changed places, pairs of them are
looked at too. Networks that were trained on wrong labels find fewer of them, and hard faces look like wrong labels:
suspects are to be looked at.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from shared.answers.fusion import SPECIALISTS
from shared.answers.held_out import HeldOut
from shared.arrays import Floats, Ints
from shared.errors import UserError
from shared.labels import BAND_EDGES

SWAP = "mask swap"
BY_PERSON = ("gender", "age")

CLEAR = 0.8
"""Probability of another class from which on a label is suspected, whatever cleanlab estimates."""

COLUMNS = ("field", "id", "picture", "other", "given", "suggested", "right", "wrong", "value", "other_value")
"""Of a table of suspects. `field` is gender, age, mask or `SWAP`; `picture` and `other` are the names that pictures go
by in fixes, blank for a person; `given` and `suggested` are class names; `right` is the probability of the label as
given, `wrong` that of what is suggested; the values are what a fix would set."""


def find_suspects(held_out: HeldOut, labels: pd.DataFrame) -> pd.DataFrame:
    """All suspects, the surest first; columns as in `COLUMNS`.

    `labels` tells the kind and the age in years of the held-out pictures, and is indexed by them.
    """
    found = [
        *(row for task in BY_PERSON for row in _persons(held_out, labels, task)),
        *_pictures(held_out, labels),
    ]
    table = pd.DataFrame(found, columns=list(COLUMNS))
    return table.sort_values(["right", "wrong"], ascending=[True, False], kind="stable", ignore_index=True)


def contradicted(probabilities: Floats, given: Ints) -> NDArray[np.bool_]:
    """Which labels (N,) the probabilities (N, C) contradict; raises `UserError` where cleanlab is not installed.

    Cleanlab estimates how many labels of each class are wrong and takes the least probable ones. Where errors are so
    few that it estimates none, labels are still told against which an answer is `CLEAR`.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ModuleNotFoundError:
        raise UserError("the label audit needs cleanlab: pip install 'face18[audit]'") from None
    known, places = np.unique(given, return_inverse=True)
    clear = probabilities.max(axis=1) >= CLEAR
    if len(known) > 1:
        # Classes that no label has tell nothing of labels, and cleanlab wants every class to be there.
        among = np.maximum(probabilities[:, known], 1e-9)
        among = among / among.sum(axis=1, keepdims=True)
        clear |= find_label_issues(places, among, filter_by="prune_by_noise_rate", n_jobs=1)
    contradiction: NDArray[np.bool_] = clear & (probabilities.argmax(axis=1) != given)
    return contradiction


def _persons(held_out: HeldOut, labels: pd.DataFrame, task: str) -> Iterator[dict[str, object]]:
    classes = SPECIALISTS[task]
    numbers = held_out.answers[task].select_dtypes("number").groupby(held_out.persons.to_numpy()).mean()
    first = pd.Series(held_out.truth[task], held_out.persons.to_numpy())
    given = first[~first.index.duplicated()].loc[numbers.index].to_numpy()
    probabilities = numbers[list(classes)].to_numpy(np.float64)
    oldest = labels["age"].max()
    for place in map(int, np.flatnonzero(contradicted(probabilities, given))):
        said = int(probabilities[place].argmax())
        years = numbers["age"].iloc[place] if "age" in numbers else None
        yield _row(
            field=task,
            id=numbers.index[place],
            given=classes[given[place]],
            suggested=classes[said],
            right=probabilities[place, given[place]],
            wrong=probabilities[place, said],
            value=classes[said] if task == "gender" else _years(years, said, oldest),
        )


def _years(years: float | None, band: int, oldest: float) -> str:
    """Whole years within the band, none beyond the oldest label: that may stand for "or older". Blank if not known."""
    if years is None:
        return ""
    low, high = (0, *BAND_EDGES)[band], (*BAND_EDGES, max(oldest, BAND_EDGES[-1]) + 1)[band] - 1
    return f"{min(max(round(years), low), high):g}"


def _pictures(held_out: HeldOut, labels: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Pictures of a person that have changed places, then single ones that are none of those."""
    names = SPECIALISTS["mask"]
    probabilities = held_out.answers["mask"][list(names)].to_numpy(np.float64)
    given = held_out.truth["mask"]
    wrong = contradicted(probabilities, given)
    kinds = labels["kind"].to_numpy()
    persons = held_out.persons.to_numpy()
    places = pd.Series(np.arange(len(given))).groupby(persons)
    for person in dict.fromkeys(persons[wrong]):
        mine = places.get_group(person).to_numpy()
        swapped = _swaps(mine, probabilities, given, wrong)
        for (one, other), posterior in swapped.items():
            yield _row(
                field=SWAP,
                id=person,
                picture=kinds[one],
                other=kinds[other],
                given=names[given[one]],
                suggested=names[given[other]],
                right=1 - posterior,
                wrong=posterior,
                value=names[given[other]],
                other_value=names[given[one]],
            )
        told = {place for pair in swapped for place in pair}
        for place in (place for place in mine if wrong[place] and place not in told):
            said = int(probabilities[place].argmax())
            yield _row(
                field="mask",
                id=person,
                picture=kinds[place],
                given=names[given[place]],
                suggested=names[said],
                right=probabilities[place, given[place]],
                wrong=probabilities[place, said],
                value=names[said],
            )


def _swaps(mine: Ints, probabilities: Floats, given: Ints, wrong: NDArray[np.bool_]) -> dict[tuple[int, int], float]:
    """Pairs of a person's pictures that are likelier swapped than not, and how likely; each picture in one at most."""
    likely = {}
    for one, other in combinations(mine, 2):
        if given[one] != given[other] and (wrong[one] or wrong[other]):
            as_given = probabilities[one, given[one]] * probabilities[other, given[other]]
            swapped = probabilities[one, given[other]] * probabilities[other, given[one]]
            likely[int(one), int(other)] = float(swapped / max(swapped + as_given, 1e-12))
    taken: dict[tuple[int, int], float] = {}
    for pair, posterior in sorted(likely.items(), key=lambda item: -item[1]):
        if posterior > 0.9 and not {place for other in taken for place in other} & set(pair):
            taken[pair] = posterior
    return taken


def _row(**values: object) -> dict[str, object]:
    return {**dict.fromkeys(COLUMNS, ""), **values}


def fixes_of(suspects: pd.DataFrame, sure: float) -> pd.DataFrame:
    """The corrections that suspects of a probability of `sure` or more ask for: id, picture, field, value."""
    rows = []
    for suspect in suspects[(suspects["wrong"] >= sure) & (suspects["value"] != "")].to_dict("records"):
        field = "mask" if suspect["field"] == SWAP else suspect["field"]
        rows.append((suspect["id"], suspect["picture"], field, suspect["value"]))
        if suspect["other"]:
            rows.append((suspect["id"], suspect["other"], field, suspect["other_value"]))
    return pd.DataFrame(rows, columns=["id", "picture", "field", "value"])
