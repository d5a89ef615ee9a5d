"""Procedurally drawn portraits: the persons of the sample data. No photograph is used."""

from shared.portraits.portrait import Portrait, draw_person

__all__ = ["Portrait", "draw_person"]
