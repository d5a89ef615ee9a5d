"""The form of requests and responses, from which FastAPI makes the OpenAPI description."""

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema


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


class _Image(Strict):
    width: int = Field(description="pixels of the upright image")
    height: int = Field(description="pixels of the upright image")
    faces: list[FaceResult] = Field(description="from left to right, row by row; empty if none was found")
    upright: bool = Field(description="whether the image was upright as sent, its EXIF orientation included")
    turned: int = Field(description="degrees clockwise by which the image was turned: 0, 90, 180 or 270")
    remarks: list[str] = Field(description="what may make the predictions unreliable, a sentence each")


class PhotographResult(_Image):
    """One image."""

    source: str = Field(description='always "bytes": the service knows no file names')
    problem: None = Field(description="always null: an image with a problem is refused")
    model: ModelResult


class ImageResult(_Image):
    """One of several images; without faces, and of 0 x 0 pixels, if it was refused."""

    source: str = Field(description='its file name as sent, otherwise its number: "image 1"')
    status: int = Field(description="200, or the status with which this image alone would have been refused")
    problem: str | None = Field(description="why it was refused, or null")


class ImagesResult(Strict):
    """Several images, all predicted by the same model."""

    model: ModelResult
    images: list[ImageResult] = Field(description="in the order in which they were sent")


class EncodedImage(Strict):
    """An image file in JSON."""

    content: str = Field(description="the bytes of the file in base64")
    name: str = Field("", description="what the result calls it")


class ImagesBody(Strict):
    """Several images as JSON."""

    images: list[EncodedImage]


class Problem(Strict):
    """Why a request was refused."""

    detail: str = Field(description="a sentence for people")


_MEANINGS = {
    HTTPStatus.BAD_REQUEST: "a form or JSON that is broken or holds another number of images than expected",
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

_FILE = {"type": "string", "format": "binary"}


def _form(title: str, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    form = {"title": title, "type": "object", "required": [name], "properties": {name: schema}}
    return {"required": True, "content": {"multipart/form-data": {"schema": form}}}


# A form is the one kind of body that generators of clients agree on; they fail on ranges (image/*) and on two kinds.
# The service also takes an image file as the body, and several as JSON.
ONE_IMAGE = _form("ImageForm", "image", _FILE)
SEVERAL_IMAGES = _form("ImagesForm", "images", {"type": "array", "items": _FILE})


def body_schemas() -> dict[str, Any]:
    """Return the schemas of JSON that is sent."""
    place = "#/components/schemas/{model}"
    return dict(models_json_schema([(ImagesBody, "validation")], ref_template=place)[1]["$defs"])


SECURITY_SCHEMES = {"bearer": {"type": "http", "scheme": "bearer"}}
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {}]
"""A token, or none if the service has none."""
