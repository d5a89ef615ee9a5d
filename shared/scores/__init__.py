"""Scores as numbers (`metrics.py`), text (`tables.py`) and pictures (`figures.py`)."""
