"""Other heads of the age specialist, against coral-pytorch and by hand."""

import numpy as np
import pytest
import torch
from coral_pytorch.losses import corn_loss as coral_loss

from pipelines.age.options import AgeOptions
from pipelines.age.specialist import (
    HEADS,
    bands_loss,
    corn_distribution,
    corn_loss,
    l1_distribution,
    l1_loss,
    specialist,
)
from pipelines.age.years import YEARS
from shared.messages import UserError
from shared.training.run import configured

AGES = torch.tensor([0.0, 18, 29, 30, 59, 60, 100])


def known(ages: torch.Tensor) -> torch.Tensor:
    return torch.stack([ages, ages, torch.ones_like(ages)], dim=1)


def test_corn_is_that_of_coral_pytorch() -> None:
    torch.manual_seed(0)
    logits = torch.randn(len(AGES), YEARS - 1)
    expected = coral_loss(logits, AGES.long(), YEARS).item()
    assert corn_loss(logits, known(AGES)).item() == pytest.approx(expected, rel=1e-5)


def test_corn_asks_nothing_of_years_from_a_censored_label_on() -> None:
    logits = torch.randn(1, YEARS - 1).requires_grad_()
    corn_loss(logits, torch.tensor([[60.0, 120.0, 0.0]])).backward()
    assert logits.grad is not None
    assert (logits.grad[0, :60] < 0).all()
    assert (logits.grad[0, 60:] == 0).all()


def test_conditional_probabilities_make_a_distribution_over_years() -> None:
    # Sure to be older than 0 to 39, then a fair coin, then sure not to be older than 41.
    logits = torch.cat([torch.full((1, 40), 40.0), torch.zeros(1, 1), torch.full((1, YEARS - 42), -40.0)], dim=1)
    years = corn_distribution(logits)
    assert years.shape == (1, YEARS)
    assert years[0, 40].item() == pytest.approx(0.5)
    assert years[0, 41].item() == pytest.approx(0.5)
    assert corn_distribution(torch.randn(5, YEARS - 1)).sum(1).tolist() == pytest.approx([1.0] * 5)


def test_an_age_lies_on_the_two_years_around_it() -> None:
    years = l1_distribution(torch.tensor([[0.0], [0.5125], [9.0], [-9.0]]))
    assert years[0, 40].item() == 1
    assert (years[1] @ torch.arange(YEARS).float()).item() == pytest.approx(50.25)
    assert years[1, 50].item() == pytest.approx(0.75, abs=1e-4)
    assert years[2, 100].item() == years[3, 0].item() == 1


def test_l1_is_the_distance_in_years_and_one_sided_where_censored() -> None:
    logits = torch.tensor([[1.0], [1.0], [0.0]])
    assert l1_loss(logits[:1], torch.tensor([[50.0, 50.0, 1.0]])).item() == pytest.approx(10 / 20)
    assert l1_loss(logits[1:2], torch.tensor([[50.0, 120.0, 0.0]])).item() == 0
    assert l1_loss(logits[2:], torch.tensor([[50.0, 120.0, 0.0]])).item() == pytest.approx(10 / 20)


def test_bands_are_learnt_by_cross_entropy() -> None:
    logits = torch.randn(len(AGES), 3)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 0, 0, 1, 1, 2, 2]))
    assert bands_loss(logits, known(AGES)).item() == pytest.approx(expected.item())
    p = torch.softmax(logits[0], 0)
    in_two_bands = bands_loss(logits[:1], torch.tensor([[25.0, 34.0, 0.0]]))
    assert in_two_bands.item() == pytest.approx(-np.log(p[0].item() + p[1].item()), rel=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_every_head_gives_bands_that_sum_to_one(head: str) -> None:
    chosen = specialist(AgeOptions.of(loss=head))  # type: ignore[arg-type]
    distribution = chosen.distribution(torch.randn(4, chosen.outputs)).double().numpy()
    columns = chosen.columns(distribution)
    assert columns[list(chosen.classes)].sum(axis=1).to_numpy() == pytest.approx(np.ones(4), abs=1e-5)
    assert ("age" in columns) == (head != "bands")


def test_labels_of_an_order_are_not_smoothed() -> None:
    options = AgeOptions.of(loss="corn", label_smoothing=0.1)
    with pytest.raises(UserError, match=r"--label-smoothing does not go with"):
        configured(specialist(options), options)
