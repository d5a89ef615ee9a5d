"""The form of requests and responses, from which FastAPI makes the OpenAPI description."""

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """A model without other fields than its own."""

    model_config = ConfigDict(extra="forbid")


class ChoiceResult(Strict):
    """One of some classes."""

    name: str = Field(description="predicted class")
    probabilities: dict[str, float] = Field(description="probability of each class; they sum to one")


class AgeResult(Strict):
    """Age in years."""

    years: float = Field(description="median of the predicted distribution")
    low: float = Field(description="lower end of the 80 % interval")
    high: float = Field(description="upper end of the 80 % interval")
    open_above: bool = Field(description="whether the interval reaches the label that means 'this age or older'")


class FaceResult(Strict):
    """One face; lengths in pixels of the upright image at full size."""

    box: list[float] = Field(description="x0, y0, x1, y1; may reach beyond the image's edge")
    probability: float = Field(description="probability that this is a face")
    landmarks: list[list[float]] = Field(
        description="x and y of eyes, nose, corners of the mouth; of each pair the one on the left of the image first"
    )
    mask: ChoiceResult
    gender: ChoiceResult
    age: AgeResult
    band: ChoiceResult
    class_number: int = Field(alias="class", description="0 to 17: 6 * mask + 3 * gender + band")
    class_name: str = Field(description="the class in words")
    class_probabilities: list[float] = Field(description="probability of each of the 18 classes")
    main: bool = Field(description="whether it is the main face, by size, centrality and probability")


class ModelResult(Strict):
    """The model that predicted."""

    name: str = Field(description="name of the bundle, or of the folder with the trained runs")
    trained_on: str = Field(description="its training data, and those of the network it started from")
    fingerprint: str = Field(description="identifies weights and decisions")


class PhotographResult(Strict):
    """One image."""

    source: str = Field(description='always "bytes": the service knows no file names')
    width: int = Field(description="pixels of the upright image")
    height: int = Field(description="pixels of the upright image")
    faces: list[FaceResult] = Field(description="from left to right, row by row; empty if none was found")
    problem: None = Field(description="always null: an image with a problem is refused")
    upright: bool = Field(description="whether the image was upright as sent, its EXIF orientation included")
    turned: int = Field(description="degrees clockwise by which the image was turned: 0, 90, 180 or 270")
    remarks: list[str] = Field(description="what may make the predictions unreliable, a sentence each")
    model: ModelResult


class Problem(Strict):
    """Why a request was refused."""

    detail: str = Field(description="a sentence for people")


_MEANINGS = {
    HTTPStatus.BAD_REQUEST: "a form that is broken or does not hold exactly one file",
    HTTPStatus.UNAUTHORIZED: "the token is missing or wrong",
    HTTPStatus.REQUEST_TIMEOUT: "the image was sent too slowly",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "more bytes or pixels than allowed",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "not an image",
    HTTPStatus.UNPROCESSABLE_ENTITY: "an empty or broken image",
    HTTPStatus.TOO_MANY_REQUESTS: "too many requests of one address: send again after the seconds in Retry-After",
    HTTPStatus.INTERNAL_SERVER_ERROR: "the service failed on this image",
    HTTPStatus.SERVICE_UNAVAILABLE: "the service is busy: send again after the seconds in Retry-After",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status.value: {"model": Problem, "description": meaning} for status, meaning in _MEANINGS.items()
}

_FORM = {
    "title": "ImageForm",
    "type": "object",
    "required": ["image"],
    "properties": {"image": {"type": "string", "format": "binary"}},
}
REQUEST_BODY: dict[str, Any] = {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}
"""The one kind of body that generators of clients agree on. They fail on ranges (image/*) and on two kinds; the service
also takes the image file as the body."""
SECURITY_SCHEMES = {"bearer": {"type": "http", "scheme": "bearer"}}
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {}]
"""A token, or none if the service has none."""
