"""Predictions of three specialists -> calibrated probabilities, decisions, the submission, and their scores."""
