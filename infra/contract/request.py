"""One request, and what is known of whoever makes it: what passes from callers and stores to the query tower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

from pydantic import Field, Strict

from infra.contract.names import REQUEST_NUMERIC, USER_LISTS
from infra.contract.tables import LOCATION_NAMES

Switch = Annotated[bool, Strict()]
"""Where the HTTP API reads a request, ``1`` and ``"yes"`` are no ``true``."""


class RequestOptions(TypedDict, total=False):
    """What a caller may say of a request besides user and query; see :class:`Request`."""

    k: int
    filters: Mapping[str, Any] | None
    location: Mapping[str, Any] | None
    personalize: bool
    explain: bool
    items: bool
    correct: bool


@dataclass(frozen=True, kw_only=True)
class Request:
    """One search. The descriptions are those of the HTTP API, which takes requests in this form."""

    user: Annotated[
        str | None,
        Field(
            description="Whose history counts: a user's id, or the session's or client's that events are recorded"
            " under; null, unknown or an id that guests share (`raw.guest_ids`): not personalized."
        ),
    ]
    query: Annotated[
        str,
        Field(
            description="What was typed. Empty: a listing of what is popular and what the user likes, as for the page"
            " of a category. Without a letter or number (`?!`, an emoji) there is nothing to search for: no hits, and"
            " the answer says so (`not_searched`)."
        ),
    ]
    k: Annotated[int, Field(description="How many items at most; the catalogue or the filters may have fewer.")] = 100
    filters: Annotated[
        Mapping[str, Any] | None,
        Field(
            description="By field of the release: a value, a list of values of which one must match, or a range of"
            " `gt`, `gte`, `lt`, `lte`. All fields must match. Case and spaces are passed over where no value is"
            " written so; a category is a level, or a path from the root such as `A > B`. What no item has is told"
            " (`unknown_values` of the answer)."
        ),
    ] = None
    location: Annotated[
        Mapping[str, Any] | None,
        Field(description="Where the user is: `country`, `language`, `zip`, `latitude` with `longitude`."),
    ] = None
    personalize: Annotated[Switch, Field(description="false: non-personalized, as for an unknown user.")] = True
    explain: Annotated[Switch, Field(description="Also say why each item is there and what is known of the user.")] = (
        False
    )
    items: Annotated[Switch, Field(description="Also give what the release knows of each item.")] = False
    correct: Annotated[
        Switch,
        Field(description="Correct words that the shop does not know (`corrected` of the answer); false: as typed."),
    ] = True

    @property
    def asker(self) -> str | None:
        """Whose features are read."""
        return (self.user or None) if self.personalize else None


@dataclass(frozen=True, kw_only=True)
class RequestContext:
    """What is known at a request besides its text; lists newest first. Of an unknown user they are empty."""

    recent_queries: Sequence[str] = ()
    recent_items: Sequence[str] = ()
    recent_orders: Sequence[str] = ()
    order_history: Sequence[str] = ()
    """An entry per order: towers with a history part and the ranker read it."""
    recent_brands: Sequence[str] = ()
    ordered_tags: Sequence[str] = ()
    numeric: Mapping[str, float] = field(default_factory=dict)
    """Numeric features of the user and the query, by the names of ``REQUEST_NUMERIC``; what is missing is unknown."""
    location: Mapping[str, object] = field(default_factory=dict)
    """``country``, ``language``, ``zip``, ``latitude``, ``longitude``."""

    @classmethod
    def of_features(cls, features: Mapping[str, Any]) -> RequestContext:
        """The context that a row of features says, such as one of ``tables.TRAINING_REQUESTS``.

        Args:
            features: by column; null or missing is unknown, and columns that are no part of a context are passed over.
        """
        known = {name: value for name, value in features.items() if value is not None}
        return cls(
            numeric={name: known[name] for name in REQUEST_NUMERIC if name in known},
            location={name: known[name] for name in LOCATION_NAMES if name in known},
            **{name: tuple(known[name]) for name in USER_LISTS if name in known},
        )


NO_CONTEXT = RequestContext()
"""Nothing is known: an unknown user, whose query nobody asked lately."""
