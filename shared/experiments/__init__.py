"""Experiments on the options of a specialist.

options.py    options of the two commands, and the changes and search space that all tasks share
changes.py    one change of a baseline, as people write it: "backbone=resnet18 pretrained=false"
measure.py    train a variant with several seeds, and compare it with the baseline
ablation.py   `python -m pipelines.TASK.ablate`
study.py      the Optuna study that the workers of a search share
tuning.py     `python -m pipelines.TASK.tune`
"""
