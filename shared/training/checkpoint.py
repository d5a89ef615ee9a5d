"""Where a fold stands after its last whole epoch, so that a killed training goes on to the same result."""

import io
from pathlib import Path
from typing import Any

import torch

from shared.atomic import replacing
from shared.errors import UserError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a tree of tensors and plain values, whole or not at all."""
    # Not into the file at once: of a full disk torch says "unexpected pos".
    content = io.BytesIO()
    torch.save(state, content)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """What `save_checkpoint` wrote; None where there is nothing. Never unpickles anything but tensors and plain values.

    Raises `UserError` where the file is cut short or of another kind.
    """
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}); remove it to train this fold anew") from error
