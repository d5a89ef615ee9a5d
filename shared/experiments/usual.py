"""The changes that are worth a try whatever is learnt; a task puts its own before them."""

USUAL = (
    # What is shown: all of the picture or its middle, without a detector; the crop at other sizes.
    "crop=whole",
    "crop=centre",
    "size=80",
    "size=128",
    # Which pictures, and what is done to them.
    "balance=true",
    "noise=0",
    "noise=0.15",
    "holes=0",
    "holes=0.6",
    "mixup=0.2",
    "drawn_masks=0",
    # More persons, where there are some: "extra=../shared/data/extra".
    # What holds the network back from learning them by heart.
    "dropout=0",
    "dropout=0.4",
    "label_smoothing=0",
    "label_smoothing=0.1",
    "weight_decay=0.1",
    # How it learns.
    "lr=0.0005",
    "lr=0.002",
    "ema=0",
    "scheduler=step",
    "scheduler=cosine",
    "scheduler=none",
    # Five backbones; those without weights at hand start from random ones, beside ours from random ones.
    "backbone=tf_efficientnet_lite1",
    "backbone=tf_efficientnet_lite2",
    "pretrained=false",
    "backbone=resnet18 pretrained=false",
    "backbone=mobilenetv3_large_100 pretrained=false",
    # How trained networks are asked.
    "views=plain",
    "views=all",
    "average=3",
    "average=5",
)
"""Each against the baseline, which is the task's own defaults."""
