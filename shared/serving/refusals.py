"""Why a request is not answered: a status for programs, a sentence for people."""

from http import HTTPStatus


class Refusal(Exception):  # noqa: N818 - nothing went wrong here: the client is told no.
    """Becomes a response; the message is the sentence."""

    def __init__(self, status: HTTPStatus, sentence: str, headers: dict[str, str] | None = None):
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers or {}


def too_large(sentence: str) -> Refusal:
    """Bytes or pixels."""
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)


def come_again(sentence: str, seconds: int) -> Refusal:
    """For what may work later."""
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, sentence, {"Retry-After": str(seconds)})
