"""Predictions for photographs, from trained specialists or from a bundle of them.

    from shared.predictor import Predictor

    predictor = Predictor.load("face18.zip")
    for photograph in predictor(["group.jpg"]):
        print([(face.mask.name, face.gender.name, face.age.years) for face in photograph.faces])

predictor.py    Predictor: from photographs to predictions, in the order of the next three
video.py        videos: faces are followed, and their probabilities averaged over frames
detect.py       find every face, the main one as the crop stage does, and cut it out aligned
ensemble.py     from crops to probabilities: the mean over views, folds and runs, by PyTorch or onnxruntime
results.py      predictions, decided as by combine.py; as a table, JSON or CSV; drawing.py draws copies
bundle_file.py  the file format of a bundle: reading it safely, also from a stranger, and writing it
from_runs.py    the same contents from the folders of trained runs
onnx_export.py  networks as ONNX, checked against PyTorch; model_card.py the card of a bundle
"""

from shared.predictor.predictor import Predictor
from shared.predictor.results import Age, Choice, Face, Photograph

__all__ = ["Age", "Choice", "Face", "Photograph", "Predictor"]
