"""A network's answer for many pictures: test-time views, averaged as distributions."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from shared.specialist import Specialist
from shared.training.choices import ViewsName
from shared.training.data import Batch


class View(NamedTuple):
    """One way of looking at a picture; shifts are shares of its side, to the right and down."""

    mirrored: bool = False
    right: float = 0.0
    down: float = 0.0

    def of(self, pictures: Tensor) -> Tensor:
        """The view of pictures (B, H, W, 3); what a shift uncovers repeats the edge."""
        shown = pictures.flip(2) if self.mirrored else pictures
        for axis, share in ((1, self.down), (2, self.right)):
            side = shown.shape[axis]
            places = (torch.arange(side, device=shown.device) - round(share * side)).clamp(0, side - 1)
            shown = shown.index_select(axis, places) if share else shown
        return shown


PLAIN = (View(),)
FLIP = (View(), View(mirrored=True))
_SHIFTS = ((0.0, 0.0), (-0.04, 0.0), (0.04, 0.0), (0.0, -0.04), (0.0, 0.04))
ALL = tuple(View(mirrored, right, down) for mirrored in (False, True) for right, down in _SHIFTS)

VIEWS: dict[ViewsName, tuple[View, ...]] = {"plain": PLAIN, "flip": FLIP, "all": ALL}


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
