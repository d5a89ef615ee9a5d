"""Networks asked once: what they answered is kept beside them, until they or the pictures are others."""

import hashlib
import json
import time
from pathlib import Path

from shared.answers.predictions import write_predictions
from shared.atomic import write_text
from shared.crops import CropSet
from shared.specialist import Specialist
from shared.training.choices import ViewsName
from shared.training.devices import accelerator_for
from shared.training.ensemble import answer
from shared.training.options import TrainOptions


def ask_once(
    specialist: Specialist,
    weights: list[Path],
    crops: CropSet,
    views: ViewsName,
    options: TrainOptions,
    file: Path,
) -> float:
    """Let networks answer together into a file, unless these have answered there for these crops before.

    Returns the seconds that it took, now or then. They, and who answered what, are kept in a JSON file of that name.
    """
    kept, asked = file.with_suffix(".json"), _asked(weights, crops, views)
    known = json.loads(kept.read_text(encoding="utf-8")) if file.exists() and kept.exists() else {}
    if known.get("asked") != asked:
        started = time.perf_counter()
        accelerator = accelerator_for(options.device, options.mixed_precision)
        answers = answer(specialist, weights, crops, views, options.batch_size, options.workers, accelerator)
        known = {"seconds": round(time.perf_counter() - started, 1), "asked": asked}
        kept.unlink(missing_ok=True)
        write_predictions(file, answers)
        write_text(kept, json.dumps(known))
    return float(known["seconds"])


def _asked(weights: list[Path], crops: CropSet, views: ViewsName) -> str:
    """Changes with any network, any crop and the views."""
    asked = hashlib.sha256(views.encode() + crops.recipe.encode() + crops.index["fingerprint"].to_csv().encode())
    for path in weights:
        asked.update(path.read_bytes())
    return asked.hexdigest()[:16]
