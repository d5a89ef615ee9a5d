"""Experiments: one change at a time, and options tuned.

options.py      what the commands can be told
changes.py      what a change says, and the options that come of it
plain_crops.py  crops without a face detector, to tell what alignment is worth
asking.py       networks asked once, and again when they or the images are others
measuring.py    train a change where that is not done yet, and collect what it says of persons not seen
comparing.py    scores beside the baseline's, with intervals over persons
ablation.py     all of it, for `python -m pipelines.TASK.ablate`; ablation_report.py: its table and image
tuning.py       for `python -m pipelines.TASK.tune`; study.py: what workers share
"""
