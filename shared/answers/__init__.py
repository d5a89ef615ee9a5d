"""The files that pass from the specialists to `combine.py`, and how three of them become 18 classes.

files.py        what the files of a run folder are called
predictions.py  one file of probabilities: write, read, validate
asked.py        what info.csv asks for, and whether the answers speak of it
held_out.py     the held-out answers of three specialists side by side
run_weights.py  how much each of several runs counts
years.py        a distribution over years, and the age that is answered
fusion.py       three distributions to 18 classes
"""
