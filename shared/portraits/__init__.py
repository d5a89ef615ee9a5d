"""Portraits drawn by numbers: the sample data's persons. Public domain by construction."""

from shared.portraits.portrait import Portrait, draw_person

__all__ = ["Portrait", "draw_person"]
