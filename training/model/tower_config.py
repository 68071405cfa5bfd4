"""What the towers are built by: read without torch, by serving too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

from training.data.items import GROUPS, IDENTITY

HISTORY_GROUPS = ("title", "category", "attributes")
LABELS = "attributes"
LOCATION = "location"
JSON_NAMES = {"item_numeric": "item_figures", "request_numeric": "request_figures"}
"""Fields of ``TowerConfig`` -> their names on disk, where releases have them since before they were called so."""
FIELD_NAMES = {name: field for field, name in JSON_NAMES.items()}
FORMER_WEIGHTS = {"familiar": "in_vocabulary"}
RETIRED_WEIGHTS = ("text.neighbour_gain",)
HEADS = 4
"""Of the user encoder's attention, or the next smaller number that divides its width."""
LEAST_UNKNOWN_GAIN = 15.0
"""Weight of the text of an out-of-vocabulary query, at least, when it is searched: what training makes of it comes from
queries that were made to look unknown, whose texts it learned all the same. A query that nobody asked is found by what
texts say."""

Weight = TypeVar("Weight")


@dataclass(frozen=True)
class TowerConfig:
    """What is needed to build the towers again, and to turn a request into their input."""

    groups: tuple[str, ...]
    """Field groups that are on, a subset of ``GROUPS`` in its order."""
    buckets: int
    token_dim: int
    dim: int
    hidden: int
    ngrams: tuple[str, ...]
    max_query_tokens: int
    max_item_tokens: int
    recent_queries: int
    recent_items: int
    recent_orders: int
    ordered_tags: int
    price_edges: tuple[float, ...]
    history: Literal["none", "mean", "transformer"] = "transformer"
    graph: bool = False
    item_numeric: int = 0
    """Numeric features of an item that are read, 0: the scalar encoder is off."""
    request_numeric: int = 0
    text_encoder: str = "none"
    text_width: int = 0
    """Width of the text encoder's vectors, 0: off."""
    text_in_query: bool = False
    text_fusion: Literal["scores", "features"] = "scores"
    text_dim: int = 128
    shared_words: bool = True
    shared_taste: bool = True
    history_part: bool = False
    """Vectors have a part by which a query finds items of the user's history again."""

    def __post_init__(self) -> None:
        if not self.groups or [g for g in GROUPS if g in self.groups] != list(self.groups):
            raise ValueError(f"groups must be some of {GROUPS}, in that order; got {self.groups}")

    @property
    def history_groups(self) -> tuple[str, ...]:
        """Groups through which a user's items are seen."""
        return tuple(g for g in self.groups if g in HISTORY_GROUPS) or self.groups[:1]

    @property
    def item_groups(self) -> tuple[str, ...]:
        """Groups of tokens that an item is given by."""
        return (*self.groups, IDENTITY) if self.history_part else self.groups

    @property
    def kept_groups(self) -> tuple[str, ...]:
        """Groups of tokens that the query tower needs of the items that a history may name."""
        return (*self.history_groups, IDENTITY) if self.history_part else self.history_groups

    @property
    def has_text_part(self) -> bool:
        """Whether query and item text meet in a part of the vectors of their own."""
        return self.text_width > 0 and self.text_in_query and self.text_fusion == "scores"

    @property
    def width(self) -> int:
        """Width of query and item vectors."""
        return self.width_without_history + (self.token_dim if self.history_part else 0)

    @property
    def width_without_history(self) -> int:
        """Width of the learned and the text part."""
        return self.dim + (self.text_dim if self.has_text_part else 0)

    @property
    def heads(self) -> int:
        """Attention heads of the user encoder."""
        return next(h for h in range(HEADS, 0, -1) if self.token_dim % h == 0)

    @property
    def has_taste(self) -> bool:
        """Whether items move towards users by their labels."""
        return self.shared_taste and LABELS in self.groups and self.history != "none"

    @property
    def encoders(self) -> tuple[str, ...]:
        """The encoders that are on."""
        on = {
            "terms": True,
            "graph": self.graph,
            f"text ({self.text_encoder})": self.text_width > 0,
            "location": LOCATION in self.groups,
            "scalars": self.item_numeric + self.request_numeric > 0,
            f"user ({self.history})": self.history != "none",
            "history": self.history_part,
        }
        return tuple(name for name, is_on in on.items() if is_on)

    def to_json(self) -> dict[str, Any]:
        return {JSON_NAMES.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TowerConfig:
        fields: dict[str, Any] = {FIELD_NAMES.get(name, name): held for name, held in value.items()}
        lists = {name: tuple(held) for name, held in fields.items() if isinstance(held, list)}
        return cls(**{**fields, **lists})


def current_weights(weights: Mapping[str, Weight]) -> dict[str, Weight]:
    """Weights of towers, or of their kind as earlier versions had it, by the names that they have now."""
    renamed = {FORMER_WEIGHTS.get(name, name): weight for name, weight in weights.items()}
    return {name: weight for name, weight in renamed.items() if name not in RETIRED_WEIGHTS}
