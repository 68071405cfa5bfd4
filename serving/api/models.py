"""What the API takes and gives."""

from __future__ import annotations

from dataclasses import dataclass as std_dataclass
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from infra.contract.location import BOUNDS as DEGREES
from infra.contract.location import MAX_TEXT_CHARS
from infra.contract.request import Request
from infra.contract.tables import LOCATION_NAMES
from serving.retrieval import Retrieval

LEVELS = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}
VALUES = {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "number"}, LEVELS]}, "minItems": 1}
BOUNDS = {name: {"type": "number"} for name in ("gt", "gte", "lt", "lte")}
RANGE = {"type": "object", "properties": BOUNDS, "additionalProperties": False, "minProperties": 1}
FILTER = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "number"}, VALUES, RANGE]}
FilterValue = Annotated[Any, WithJsonSchema(FILTER)]
"""Checked by the retriever, which knows the fields of the release and says what is wrong in a sentence."""
Filters = dict[str, FilterValue]
PLACES = {
    name: {"type": "number", "minimum": -DEGREES[name], "maximum": DEGREES[name]}
    if name in DEGREES
    else {"type": "string", "maxLength": MAX_TEXT_CHARS}
    for name in LOCATION_NAMES
}
Location = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {name: {"anyOf": [place, {"type": "null"}]} for name, place in PLACES.items()},
            "additionalProperties": False,
        }
    ),
]
"""Checked by the retriever, by the contract's own rule."""

UserId = Annotated[str, Field(max_length=1_000)]
QueryId = Annotated[str, Field(min_length=1, max_length=1_000)]
ItemId = Annotated[str, Field(min_length=1, max_length=1_000)]


class _Taken(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Given(BaseModel):
    model_config = ConfigDict(from_attributes=True)


_HINTS = get_type_hints(Request, include_extras=True)


def _described(name: str, default: Any) -> Any:
    """A field of :class:`Request` that is narrower over HTTP, described as there."""
    return Field(default, description=_HINTS[name].__metadata__[-1].description)


SHORT_QUERY = "`query` by its short name; where both are given they must be the same."
TWO_QUERIES = "query and q are two names of what was typed: give one of them, or the same text in both"


def _describe_search(schema: dict[str, Any]) -> None:
    """Show both names of the query, one of which a search needs."""
    query = schema["properties"].pop("query")
    short = {"type": "string", "title": "Q", "description": SHORT_QUERY}
    schema["properties"] = {"query": query, "q": short, **schema["properties"]}
    del schema["required"]  # of the query alone
    schema["anyOf"] = [{"required": ["query"]}, {"required": ["q"]}]
    example = {"query": "red sofa", "user": "u000151", "k": 24, "filters": {"price": {"lt": 300}}, "explain": True}
    schema["examples"] = [example]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", json_schema_extra=_describe_search))
class SearchRequest(Request):
    """One search by one user; ``q`` is another name of ``query``."""

    @model_validator(mode="before")
    @classmethod
    def _named_query(cls, sent: Any) -> Any:
        if not isinstance(sent, dict) or "q" not in sent:
            return sent
        named = {name: value for name, value in sent.items() if name != "q"}
        if named.setdefault("query", sent["q"]) != sent["q"]:
            raise PydanticCustomError("two_queries", TWO_QUERIES)
        return named

    user: UserId | None = _described("user", None)
    k: Annotated[int, Field(ge=1, strict=True)] = _described("k", 100)
    filters: Filters | None = _described("filters", None)
    location: Location | None = _described("location", None)
    query_id: QueryId | None = Field(
        default=None, description="The search's id, if the caller has one; null: one is made."
    )
    client_id: UserId | None = Field(
        default=None,
        description="The browser's id, for the log; its history counts where `user` is null or one that guests share.",
    )
    session_id: UserId | None = Field(default=None, description="The visit's id, for the log.")
    shown: Annotated[int, Field(ge=0, strict=True)] | None = Field(
        default=None,
        description="How many of the hits are shown: those are the impressions in the log; null: all; 0: the search is"
        " not logged.",
    )


@std_dataclass(frozen=True, kw_only=True)
class SearchResponse(Retrieval):
    """Hits, best first, and how they came about."""

    query_id: Annotated[str, Field(description="Send it back with the events that follow from this search.")]


class EventRequest(_Taken):
    """Something that a user did; their next search knows of it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user": "u000151", "action": "click", "item_id": "B07H8QMZPV"}]}
    )

    user: Annotated[str, Field(min_length=1, max_length=1_000)]
    action: str = Field(
        max_length=100,
        description="`search`, `click`, `cart`, `order`, or the log's name for one of these, such as `purchase`.",
        examples=["click"],
    )
    query: Annotated[str, Field(max_length=10_000)] | None = Field(None, description="What a search was for.")
    item_id: ItemId | None = Field(None, description="What was clicked, put into the cart or ordered.")
    query_id: QueryId | None = Field(None, description="The answer's `query_id` of the search that it follows from.")
    client_id: UserId | None = Field(
        None, description="The browser's id, for the log; the event is its own where `user` is an id that guests share."
    )
    session_id: UserId | None = Field(None, description="The visit's id, for the log.")
    position: Annotated[int, Field(ge=1)] | None = Field(None, description="The item's rank among those shown.")
    time: AwareDatetime | None = Field(None, strict=False, description="When it was, with its offset; null: now.")


class EventResponse(BaseModel):
    """What became of an event."""

    recorded: bool = Field(description="Whether the user's next search knows of it; never of an id that guests share.")
    logged: bool = Field(description="Whether the log took it; false where `ubi_log.enabled` is off.")
    unknown_item: bool = Field(
        description="Whether the live release has no such item: one that is new, a variant's id, or a slip. It is taken"
        " all the same, and counts once a release has it."
    )
    fallbacks: list[str] = Field(description="`online_store_unavailable`: Redis is away, and the event is lost to it.")


class RowProblem(BaseModel):
    """A row that was refused."""

    row: int = Field(description="Its place in the array, from 0.")
    detail: str


class UbiResponse(BaseModel):
    """What became of an array of UBI rows."""

    accepted: int
    logged: int = Field(description="Rows that the log took; 0 where `ubi_log.enabled` is off.")
    refused: int
    problems: list[RowProblem] = Field(description="The first of the refused rows.")
    fallbacks: list[str] = Field(
        description="What the next searches do not know of it for: `online_store_unavailable`, `not_ready` (nothing is"
        " live yet), `overloaded`."
    )


class FilterField(_Given):
    """A field to filter by."""

    model_config = ConfigDict(from_attributes=True, extra="ignore")

    name: str
    kind: str = Field(description="`text` or `number`.")
    values: list[str | float] = Field([], description="Its most frequent values; of numbers the least and the largest.")


class ItemUpdateCounts(BaseModel):
    """Of how many items something was said since the catalogue of the live release landed."""

    known: int = Field(description="Items of the catalogue.")
    new: int = Field(description="Items that are not in it, and are found.")
    removed: int
    sold_out: int
    encoding: int = Field(description="New items that are found in a moment: their texts are being encoded.")
    unknown: int = Field(description="Items that are not in the catalogue, and of which too little was said.")


class ItemUpdateState(BaseModel):
    """What was said of items by day, and whether that can be read."""

    items: ItemUpdateCounts
    up: bool = Field(description="Whether Redis, which keeps it, answers; else what was read last counts on.")
    problem: str | None = Field(description="Why `stock.parquet` in the landing folder cannot be used.")


class Health(BaseModel):
    """The process is alive."""

    status: Literal["ok"] = "ok"
    ubi_log: Literal["off", "ok", "failing"] = Field(description="Whether rows of the log can be written.")


class Ready(BaseModel):
    """Searches are answered."""

    release_id: str


class Problem(BaseModel):
    """What is wrong, in a sentence that says what to do."""

    detail: str
