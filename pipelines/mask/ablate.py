"""One change of the mask specialist at a time: `python -m pipelines.mask.ablate`."""

from shared.commands import run
from shared.experiments.options import COMMON_CHANGES, AblateOptions, screening
from shared.training.options import TrainOptions

CHANGES = (
    # The whole crop; only the lower face, which shows the mask without hair.
    "window=1,0.5,0.5",
    "window=0.6,0.5,0.68",
    *COMMON_CHANGES,
)


def main(options: AblateOptions) -> None:
    # Imported here, so that --help does not wait for torch.
    from pipelines.mask.specialist import MASK
    from shared.experiments.ablation import ablate

    ablate(lambda _: MASK, CHANGES, options)


if __name__ == "__main__":
    run(main, AblateOptions(screening(TrainOptions())))
