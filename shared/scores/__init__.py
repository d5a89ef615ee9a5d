"""Scores: numbers (`metrics.py`), their uncertainty (`intervals.py`), text (`tables.py`), pictures (`figures.py`)."""
