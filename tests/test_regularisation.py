"""Label smoothing and mixup around any loss, against torch's own and a plain calculation."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from pipelines.age.specialist import AGE
from pipelines.gender.specialist import GENDER
from shared.messages import UserError
from shared.specialist import Window
from shared.training.fit import mixup, smoothed
from shared.training.options import TrainOptions
from shared.training.run import configured


def batch(classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(8, classes), torch.arange(8) % classes


def test_smoothed_cross_entropy_is_that_of_torch() -> None:
    logits, targets = batch()
    expected = cross_entropy(logits, targets, label_smoothing=0.1)
    assert smoothed(cross_entropy, 0.1)(logits, targets).item() == pytest.approx(expected.item())


def test_without_a_share_the_loss_is_the_very_same() -> None:
    assert smoothed(cross_entropy, 0.0) is cross_entropy


def test_a_mixed_batch_asks_for_both_labels_in_proportion_to_what_is_seen() -> None:
    targets = torch.arange(4)
    # Images that are one-hot: what is seen of each tells the share of each.
    seen, loss_of = mixup(torch.eye(4), cross_entropy, 0.4)
    logits = torch.randn(4, 4)
    by_hand = -(seen * logits.log_softmax(1)).sum(1).mean()
    assert seen.sum(1).tolist() == pytest.approx([1.0] * 4)
    assert 0 < seen.max().item() <= 1
    assert loss_of(logits, targets).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_no_mixup_leaves_the_bytes_alone() -> None:
    images = torch.zeros(2, 4, 4, 3, dtype=torch.uint8)
    seen, loss_of = mixup(images, cross_entropy, 0.0)
    assert seen is images
    assert loss_of is cross_entropy


def test_options_change_the_window_of_a_specialist() -> None:
    assert configured(GENDER, TrainOptions.of(window=(0.5, 0.5, 0.4))).window == Window(0.5, 0.5, 0.4)
    assert configured(GENDER, TrainOptions()).window == GENDER.window


def test_a_window_beyond_the_crop_names_its_flag() -> None:
    with pytest.raises(UserError, match=r"--window: .* beyond the crop"):
        configured(AGE, TrainOptions.of(window=(0.9, 0.5, 0.7)))
