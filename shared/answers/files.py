"""Names of the files of a run folder that others read: what was run, held-out answers, answers for eval pictures."""

RUN, OOF, EVAL = "run.json", "oof.csv", "eval.csv"
