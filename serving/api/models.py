"""What the API takes and gives."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, WithJsonSchema

VALUES = {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}, "minItems": 1}
BOUNDS = {name: {"type": "number"} for name in ("gt", "gte", "lt", "lte")}
RANGE = {"type": "object", "properties": BOUNDS, "additionalProperties": False, "minProperties": 1}
FILTER = {"anyOf": [{"type": "string", "minLength": 1}, {"type": "number"}, VALUES, RANGE]}
FilterValue = Annotated[Any, WithJsonSchema(FILTER)]
"""Checked by the retriever, which knows the fields of the release and says what is wrong in a sentence."""
Filters = dict[str, FilterValue]

UserId = Annotated[str, Field(max_length=1_000)]
ItemId = Annotated[str, Field(min_length=1, max_length=1_000)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Taken(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Given(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Location(_Taken):
    """Where the user is; any part of it."""

    country: Annotated[str, Field(max_length=100)] | None = None
    language: Annotated[str, Field(max_length=100)] | None = None
    zip: Annotated[str, Field(max_length=100)] | None = None
    latitude: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)] | None = None


class SearchRequest(_Taken):
    """One search by one user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "red sofa", "user": "u000151", "k": 24, "filters": {"price": {"lt": 300}}, "explain": True}
            ]
        }
    )

    query: str = Field(description="What was typed. It needs at least one letter or number.")
    user: UserId | None = Field(None, description="Whose history counts; null or unknown: not personalized.")
    k: int = Field(100, ge=1, description="How many items at most; `api.max_k` bounds it.")
    filters: Filters | None = Field(
        None,
        description="By field of the release (see `/fields`): a value, a list of values of which one must match, or a"
        " range of `gt`, `gte`, `lt`, `lte`. All fields must match.",
        examples=[{"brand": ["Acme", "Olquist"], "price": {"gte": 10, "lt": 50}}],
    )
    location: Location | None = None
    personalize: bool = Field(True, description="false: non-personalized, as for an unknown user.")
    explain: bool = Field(False, description="Also say why each item is there and what is known of the user.")
    items: bool = Field(False, description="Also give what the catalogue says of each item.")


class Match(_Given):
    """Something of the user's history that an item has in common with it."""

    kind: str = Field(description="`ordered before`, `clicked before`, `brand`, `category` or `tag`.")
    value: str


class Why(_Given):
    """Why an item is there."""

    parts: dict[str, float] = Field(description="The score's parts: `learned`, `text`, `boost`. They add up to it.")
    matched: list[Match] = Field(description="What the item has in common with the user's history.")
    stages: dict[str, int] = Field(description="What became of the item lately: impressions, clicks, orders.")


class Hit(_Given):
    """An item found."""

    item_id: str
    score: float
    why: Why | None = Field(None, description="Where `explain` was asked for.")
    item: dict[str, Any] | None = Field(None, description="Title, brand, price, ...; where `items` was asked for.")


class SearchResponse(_Given):
    """Hits, best first, and how they came about."""

    hits: list[Hit]
    release_id: str = Field(description="The release that answered.", examples=["e33681ef27fa"])
    personalized: bool = Field(description="Whether the query vector was made with anything known of the user.")
    fallbacks: list[str] = Field(
        description="What was away: `online_store_unavailable` (not personalized), `index_unavailable`,"
        " `newer_release_unusable` (the release before it answered), ..."
    )
    cached: bool = Field(False, description="Whether the same context was answered lately: no tower, no search.")
    timings_ms: dict[str, float] = Field(description="Milliseconds of each step, and in total.")
    features: dict[str, list[str]] | None = Field(None, description="The user's history; where `explain` was asked.")


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
    time: AwareDatetime | None = Field(None, strict=False, description="When it was, with its offset; null: now.")


class EventResponse(BaseModel):
    """What became of an event."""

    recorded: bool
    fallbacks: list[str] = Field(description="`online_store_unavailable`: Redis is away, and the event is lost to it.")


class FilterField(_Given):
    """A field to filter by."""

    model_config = ConfigDict(from_attributes=True, extra="ignore")

    name: str
    kind: str = Field(description="`text` or `number`.")
    values: list[str | float] = Field([], description="Its most frequent values; of numbers the least and the largest.")


class Health(BaseModel):
    """The process is alive."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Searches are answered."""

    release_id: str


class Problem(BaseModel):
    """What is wrong, in a sentence that says what to do."""

    detail: str
