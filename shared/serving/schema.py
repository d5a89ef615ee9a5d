"""What the service says of itself: the form of questions and answers, for people and for generators of clients."""

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Nothing but what is named here."""

    model_config = ConfigDict(extra="forbid")


class ChoiceAnswer(Answer):
    """One of some classes."""

    name: str = Field(description="the class that is answered")
    probabilities: dict[str, float] = Field(description="of every class; they sum to one")


class AgeAnswer(Answer):
    """In years."""

    years: float = Field(description="the median of what is thought possible")
    low: float = Field(description="the 80 % interval begins here")
    high: float = Field(description="and ends here")
    open_above: bool = Field(description="whether the interval reaches ages that training did not tell apart")


class FaceAnswer(Answer):
    """One face; lengths in pixels of the upright image at full size."""

    box: list[float] = Field(description="x0, y0, x1, y1; may reach beyond the image's edge")
    probability: float = Field(description="that this is a face")
    landmarks: list[list[float]] = Field(
        description="x and y of eyes, nose, corners of the mouth; of each pair the left one first, as seen"
    )
    mask: ChoiceAnswer
    gender: ChoiceAnswer
    age: AgeAnswer
    band: ChoiceAnswer
    class_number: int = Field(alias="class", description="0 to 17: 6 * mask + 3 * gender + band")
    class_name: str = Field(description="the same in words")
    class_probabilities: list[float] = Field(description="of the 18 classes")


class PhotographAnswer(Answer):
    """One image."""

    source: str = Field(description="always bytes: the service knows no names of files")
    width: int = Field(description="pixels of the upright image")
    height: int = Field(description="pixels of the upright image")
    faces: list[FaceAnswer] = Field(
        description="the main one first, then from left to right; empty where none was found"
    )
    problem: None = Field(description="null: an image with a problem is refused")


class Problem(Answer):
    """Why there is no answer."""

    detail: str = Field(description="a sentence for people")


_MEANINGS = {
    HTTPStatus.BAD_REQUEST: "a form that is broken or holds another number of files than one",
    HTTPStatus.UNAUTHORIZED: "the token is missing or wrong",
    HTTPStatus.REQUEST_TIMEOUT: "the image was sent too slowly",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "more bytes or pixels than allowed",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "not an image",
    HTTPStatus.UNPROCESSABLE_ENTITY: "an empty or broken image",
    HTTPStatus.SERVICE_UNAVAILABLE: "too much to do: come again after as many seconds as Retry-After says",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status.value: {"model": Problem, "description": meaning} for status, meaning in _MEANINGS.items()
}

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"type": "object", "required": ["image"], "properties": {"image": _BINARY["schema"]}}
REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {"multipart/form-data": {"schema": _FORM}, "image/*": _BINARY, "application/octet-stream": _BINARY},
}
BEARER = {"bearer": {"type": "http", "scheme": "bearer"}}
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {}]
"""A token, or none where the service has none."""
