"""How probabilities become answers, chosen for macro F1 on persons that were held out, never on eval truth.

calibration.py    temperatures, and how far stated probabilities are from what happens
thresholds.py     where in years the age bands are cut
class_weights.py  which class to answer when macro F1 counts, not accuracy
persons.py        means over the pictures of a person; scores and bootstraps by person
chain.py          the three in a row: learnt on some persons, applied to others
measured.py       each way scored on persons it was not learnt on, and the one that is taken
settle.py         that choice, learnt on all held-out persons; report.py tells of it
outcome.py        all of it, for what combine.py is asked
"""
