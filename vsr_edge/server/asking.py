"""What requests say: bodies as models, and searches as :class:`Archive` has them. Videos are named
by id; a path in a request is never opened.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from vsr_edge.errors import UsageError
from vsr_edge.query import HeadsChoice, Place, Query, SearchOptions
from vsr_edge.server.photos import picture_in
from vsr_edge.server.refusals import Refused
from vsr_edge.times import seconds_of
from vsr_edge.types import Pixels

if TYPE_CHECKING:
    from vsr_edge.archive import Archive

MOST_SENTENCE, MOST_MOMENTS, MOST_TURNS, MOST_CANDIDATES = 1000, 200, 10, 128
JSON, FORM = "application/json", "multipart/form-data"
_A_PATH = re.compile(r"[/\\][^/\\]*\.\w{2,5}\s*$")

Sentence = Annotated[str, Field(max_length=MOST_SENTENCE)]
Sentences = Annotated[list[Sentence], Field(max_length=8)]
Name = Annotated[str, Field(min_length=1, max_length=1000)]
Names = Annotated[list[Name], Field(max_length=100)]
VideoId = Annotated[int, Field(ge=1, le=2**63 - 1, description="As /v1/videos lists it.")]
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Model = TypeVar("Model", bound="Body")


class Body(BaseModel):
    """Something that is posted; what is not known is refused, as a typing mistake may be, and so is
    a number that is written as a string.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True, strict=True)


class MomentOf(Body):
    """A time of a video."""

    video: VideoId
    at: Seconds


class SpanOf(Body):
    """A moment of an earlier answer."""

    video: VideoId
    start: Seconds
    end: Seconds


class SearchRequest(Body):
    """What is asked, of which footage, and how, as the options of `search` say it."""

    query: Sentence | None = Field(default=None, description="What is to be seen, in words.")
    like: MomentOf | None = Field(
        default=None, description="What it looks like; a photo is uploaded instead."
    )
    weight: Number = Field(default=0.5, description="Of the picture beside the sentence.")
    not_: Sentence | None = Field(default=None, alias="not")
    good: list[SpanOf] = Field(default=[], max_length=100, description="More like these.")
    bad: list[SpanOf] = Field(default=[], max_length=100, description="Not these again.")
    then: Sentences = []
    and_: Sentences = Field(default=[], alias="and")
    without: Sentences = []
    within: Name | None = Field(default=None, description="As 10s or 2m.")
    literal: bool = False
    video: Names = Field(default=[], description="Only these: paths, folders, globs.")
    after: Name | None = None
    before: Name | None = None
    between: Name | None = None
    min_duration: Name | None = None
    max_duration: Name | None = None
    tags: Names = []
    top_k: int = Field(default=10, ge=1, le=MOST_MOMENTS)
    min_score: Number | None = None
    max_turns: int = Field(default=3, ge=1, le=MOST_TURNS)
    candidates: int = Field(default=16, ge=1, le=MOST_CANDIDATES)
    max_ms: Number | None = Field(default=None, description="Begin no turn after so long.")
    one_shot: bool = False
    rocchio: bool = False
    heads: HeadsChoice = Field(default="auto", description="Who verifies.")
    text: bool | None = Field(default=None, description="Words alone, or pictures alone.")
    trace: bool = Field(default=False, description="Every turn lists what it looked at.")


@dataclass(frozen=True)
class Search:
    """A search that was asked for, with the photo's file that came along."""

    asked: SearchRequest
    photo: bytes | None

    def query(self, archive: Archive) -> Query:
        """As the archive takes it.

        Raises:
            UsageError: nothing is asked for, or a video that is not there.
            Refused, UnreadableMedia: the photo is none.
        """
        asked = self.asked
        if asked.query is not None and _A_PATH.search(asked.query):
            raise UsageError("the query names a file: upload the photo, or name a moment by id")
        if asked.like is not None and self.photo is not None:
            raise UsageError("one picture at a time: upload a photo, or name a moment")
        like: Place | Pixels | None = None if self.photo is None else picture_in(self.photo)
        if asked.like is not None:
            like = _place(archive, asked.like.video, asked.like.at)
        return Query(
            asked.query,
            like,
            asked.weight,
            asked.not_,
            tuple(_place(archive, one.video, one.start, one.end) for one in asked.good),
            tuple(_place(archive, one.video, one.start, one.end) for one in asked.bad),
        )

    def options(self, archive: Archive, seconds: float) -> SearchOptions:
        """As the archive takes them, with so much time at most.

        Raises:
            UsageError: what cannot be.
        """
        asked = self.asked
        where = archive.where(
            after=asked.after,
            before=asked.before,
            between=asked.between,
            min_duration=asked.min_duration,
            max_duration=asked.max_duration,
            tags=asked.tags or None,
        )
        options = SearchOptions(
            top_k=asked.top_k,
            min_score=asked.min_score,
            video=asked.video or None,
            where=where,
            max_turns=asked.max_turns,
            candidates=asked.candidates,
            max_ms=asked.max_ms,
            one_shot=asked.one_shot,
            rocchio=asked.rocchio,
            heads=asked.heads,
            text=asked.text,
            then=asked.then,
            also=asked.and_,
            without=asked.without,
            literal=asked.literal,
        )
        if asked.within is not None:
            options = options.changed(within=seconds_of(asked.within, "within"))
        return options.changed(max_ms=min(asked.max_ms or math.inf, seconds * 1000))

    @classmethod
    async def read(cls, request: Request) -> Self:
        """The search of a request: JSON, or a form of that and a photo.

        Raises:
            Refused: it is neither.
            RequestValidationError: it says what cannot be.
        """
        if _content(request) != FORM:
            return cls(await read_body(request, SearchRequest), None)
        try:
            form = await request.form(max_files=1, max_fields=1)
        # The last is what earlier releases of starlette let through.
        except (MultiPartException, HTTPException, FormParserError) as error:
            if isinstance(error, Refused):
                raise
            raise Refused(400, "BadRequest", "the form cannot be read: send it anew") from error
        try:
            said, photo = form.get("request", "{}"), form.get("photo")
            if not isinstance(said, str) or not isinstance(photo, UploadFile):
                raise Refused(
                    422, "UsageError", "a form has a file, photo, and perhaps JSON, request"
                )
            asked, content = _valid(SearchRequest, said.encode()), await photo.read()
        finally:
            await form.close()
        return cls(asked, content)


class IndexRequest(Body):
    """What to index: files and folders below the roots that the server was started with."""

    paths: list[Name] = Field(min_length=1, max_length=1000)
    include: Names = []
    exclude: Names = []
    tags: Names = []


class LoginRequest(Body):
    """Who somebody is."""

    name: Annotated[str, Field(max_length=64)]
    password: Annotated[str, Field(max_length=256)]


BODIES: tuple[type[Body], ...] = (SearchRequest, IndexRequest, LoginRequest)
SEARCH_FORM = {
    "type": "object",
    "properties": {
        "photo": {"type": "string", "format": "binary"},
        "request": {"type": "string", "contentMediaType": JSON, "description": "SearchRequest"},
    },
    "required": ["photo"],
}


def described(model: type[Body]) -> dict[str, Any]:
    """A JSON body, as OpenAPI has it."""
    return {JSON: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


async def read_body(request: Request, model: type[Model]) -> Model:
    """The JSON that was posted; whoever posts it must say that it is JSON, which a form of another
    site's page cannot.

    Raises:
        Refused: it is called something else.
        RequestValidationError: it is not what it should be.
    """
    if _content(request) != JSON:
        raise Refused(415, "NotJson", f"send JSON, and say so: Content-Type: {JSON}")
    return _valid(model, await request.body())


def _content(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _valid(model: type[Model], content: bytes) -> Model:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise RequestValidationError(
            [{**one, "loc": ("body", *one["loc"])} for one in problems]
        ) from None


def _place(archive: Archive, video: int, start: float, end: float | None = None) -> Place:
    stored = archive.store.videos_of([video]).get(video)
    if stored is None:
        raise UsageError(f"there is no video {video}: /v1/videos lists them")
    last = start if end is None else end
    if last < start:
        raise UsageError(f"a moment from {start:g} to {last:g} s cannot be")
    return Place(stored.video.path, start, last, stored.video.fingerprint)
