"""A network's answer for many pictures: test-time views, averaged as distributions."""

from collections.abc import Iterable

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from shared.specialist import Specialist
from shared.training.data import Batch
from shared.training.views import View


@torch.inference_mode()
def predict_distribution(
    specialist: Specialist,
    network: nn.Module,
    loader: DataLoader[Batch],
    views: Iterable[View],
    accelerator: Accelerator,
    progress: str | None = None,
) -> NDArray[np.float64]:
    """The specialist's distribution for every picture of the loader, in its order, (N, outputs).

    The mean over `views`. With several processes every one of them gets all rows. `progress` names a progress bar.
    """
    network.eval()
    views = tuple(views)
    rows = []
    hidden = progress is None or not accelerator.is_main_process
    for pictures, _ in tqdm(loader, desc=progress, unit="batch", disable=hidden, leave=False):
        with accelerator.autocast():
            seen = [specialist.distribution(network(view.of(pictures)).float()) for view in views]
        rows.append(accelerator.gather_for_metrics(torch.stack(seen).mean(0)).cpu())
    return torch.cat(rows).double().numpy()
