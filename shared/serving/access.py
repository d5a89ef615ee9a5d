"""Who may ask: anyone, or whoever knows the token."""

import hmac
import os
from http import HTTPStatus
from pathlib import Path

from shared.errors import UserError
from shared.serving.refusals import Refusal

TOKEN_VARIABLE = "FACE18_TOKEN"
SHORTEST = 16
"""Characters; what is shorter can be guessed."""


def find_token(file: Path | None) -> str | None:
    """The token in a file, or else in the environment variable `TOKEN_VARIABLE`; None where there is neither.

    Never on the command line, which every user of the machine can read. Raises `UserError` for a token that is too
    short and for a file that can't be read.
    """
    source = f"--token-file {file}" if file else TOKEN_VARIABLE
    try:
        token = file.read_text(encoding="utf-8") if file else os.environ.get(TOKEN_VARIABLE)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{source} cannot be read: {error}") from None
    if token is None:
        return None
    token = token.strip()
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable():
        raise UserError(
            f"{source}: a token has at least {SHORTEST} plain characters; "
            "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        )
    return token


def check_token(authorization: str | None, token: str | None) -> None:
    """Compare in constant time; raises `Refusal` unless the Authorization header holds the token, if there is one."""
    if token is None:
        return
    scheme, _, given = (authorization or "").partition(" ")
    right = hmac.compare_digest(given.strip().encode(), token.encode())
    if scheme.lower() != "bearer" or not right:
        raise Refusal(
            HTTPStatus.UNAUTHORIZED,
            "this service wants a token: send it as Authorization: Bearer TOKEN",
            {"WWW-Authenticate": "Bearer"},
        )
