"""Passes over the extra persons alone before the first fold (`--extra-epochs`); every fold starts from their end.

The folds share it, so it costs once what mixing as many extra pictures into each fold would cost five times. No person
of the base data is seen in it, so whom a fold holds out is as new to it as before.
"""

from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
from accelerate import Accelerator

from shared.atomic import replacing
from shared.crops import CropSet
from shared.errors import UserError
from shared.folds import assign_folds
from shared.specialist import Specialist
from shared.training.devices import let_go
from shared.training.fold import FoldTraining
from shared.training.folders import CHECKPOINT, HISTORY, WEIGHTS, extra_stage_folder
from shared.training.options import TrainOptions

PARTS = 10
"""One of so many parts of the extra persons is kept aside in this stage, to choose its best epoch."""


def learn_extra(
    specialist: Specialist,
    options: TrainOptions,
    table: pd.DataFrame,
    crops: CropSet,
    run: Path,
    accelerator: Accelerator,
) -> Path | None:
    """The weights that the folds start from, trained where they are missing; None without such a stage.

    Raises `UserError` where there are too few extra persons.
    """
    if not options.extra_epochs:
        return None
    folder = extra_stage_folder(run)
    if not (folder / HISTORY).exists():
        extra = table[table["source"] != ""].reset_index(drop=True)
        parts = min(PARTS, extra["person"].nunique())
        if parts < 2:
            raise UserError("--extra-epochs needs two persons or more in the folders of --extra")
        extra["fold"] = extra["person"].map(assign_folds(extra, parts))
        stage = replace(options, epochs=options.extra_epochs, folds=parts, only_fold=None)
        history = FoldTraining(specialist, stage, extra, crops, 0, folder, accelerator).run()
        let_go(accelerator)
        if accelerator.is_main_process:
            # Written last: it says that the stage is complete.
            with replacing(folder / HISTORY) as temporary:
                pd.DataFrame([asdict(epoch) for epoch in history]).to_csv(temporary, index=False)
    if accelerator.is_main_process:
        (folder / CHECKPOINT).unlink(missing_ok=True)
    accelerator.wait_for_everyone()
    return folder / WEIGHTS
