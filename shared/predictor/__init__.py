"""Answers for any photograph, from trained specialists or from a bundle of them.

    from shared.predictor import Predictor

    predictor = Predictor.load(Path("face18.zip"))
    for photograph in predictor(["group.jpg"]):
        print([(face.mask.name, face.gender.name, face.age.years) for face in photograph.faces])

results.py      what is said of a photograph and of each face in it
predictor.py    Predictor: photographs to answers
finding.py      every face in a photograph: first as the crop stage finds it, then all others
drawing.py      annotated copies; telling.py answers as a table, JSON and CSV
networks.py     crops to what the three specialists say of them; torch_networks.py and onnx_networks.py run these
answering.py    what they say, decided as combine.py decides
intervals.py    how old at least and at most: learnt on held-out persons
contents.py     what a bundle holds; reading.py reads one safely, from a stranger too
outputs.py      the same, gathered from the folders of trained runs
archiving.py    writing a bundle; model_card.py its card; export.py its ONNX files, checked
"""

from shared.predictor.predictor import Predictor
from shared.predictor.results import Age, Choice, Face, Photograph

__all__ = ["Age", "Choice", "Face", "Photograph", "Predictor"]
