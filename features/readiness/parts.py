"""Which encoders and objectives the data can feed, under the settings that are in force."""

from __future__ import annotations

from features.catalog import CatalogReport
from features.readiness.report import Joins, Learning, Part, PartState, Ratio
from infra.contract.names import LEAST_PRIOR_REQUESTS, STOPPING_SHARE
from infra.contract.tables import LOCATION_NAMES
from infra.settings import Settings, TrainingSettings

FEW_REQUESTS = 100
"""Requests below which an objective has little to learn from, and a figure little to say."""
LITTLE = 0.1
"""Share of items, requests or users below which an encoder sees little."""

_GROUPS = {
    "title": ("title",),
    "category": ("category_path",),
    "category_words": ("category_path",),
    "attributes": ("attributes", "brand", "price", "tags"),
    "attribute_words": ("attributes", "brand", "tags"),
    "description": ("description",),
}
"""Field group of the term encoder -> the catalogue's fields that fill it."""


def parts_of(
    settings: Settings, catalog: CatalogReport | None, joins: Joins | None, learning: Learning | None
) -> tuple[Part, ...]:
    """Encoders, the quality prior, objectives; what a catalogue or a log that is not there would feed is off."""
    training = settings.training
    return (
        *(_item_encoders(training, catalog) if catalog else ()),
        *(_log_encoders(training, catalog, joins) if joins and joins.requests else ()),
        *(_objectives(training, learning) if learning else ()),
    )


def _state(ratio: Ratio, switched_on: bool) -> PartState:
    if not switched_on or not ratio.part:
        return "off"
    return "weak" if (ratio.share or 0) < LITTLE else "on"


def _item_encoders(training: TrainingSettings, catalog: CatalogReport) -> list[Part]:
    texts = {name: catalog.filled[name] for name in ("title", "category_path", "brand", "attributes", "tags")}
    source = next((name for name, n in texts.items() if n), "")
    text = Ratio(texts.get(source, 0), catalog.items)
    told = f"it reads {source}, which {text.told} items have" if source else "no item has a text"
    switched = training.text_encoder != "none"
    on = [g for g in training.fields if any(catalog.filled[name] for name in _GROUPS[g])]
    absent = [g for g in training.fields if g not in on]
    numbers = [name for name in ("price", "rating", "rating_count") if catalog.filled[name]]
    words = f"it reads {', '.join(on)}" if on else "the catalogue fills none of its fields"
    return [
        Part(
            "encoder",
            f"Transformer text ({training.text_encoder})",
            "titles, else categories or attributes",
            _state(text, switched),
            told if switched else "switched off (training.text_encoder)",
        ),
        Part(
            "encoder",
            "terms",
            "title, category, attributes, description",
            "on" if on and not absent else "weak" if on else "off",
            words + (f"; nothing fills {', '.join(absent)}" if on and absent else ""),
        ),
        Part(
            "encoder",
            "figures",
            "price, rating, number of ratings; counts of the log",
            ("on" if numbers else "weak") if training.scalars else "off",
            (
                f"it reads {', '.join(numbers)}, and behaviour"
                if numbers
                else "it reads behaviour, no figure of the catalogue"
            )
            if training.scalars
            else "switched off (training.scalars)",
        ),
    ]


def _log_encoders(training: TrainingSettings, catalog: CatalogReport | None, joins: Joins) -> list[Part]:
    placed = max((catalog.filled[name] for name in LOCATION_NAMES), default=0) if catalog else 0
    asked = joins.with_location.part
    both = bool(placed and asked)
    place: PartState = "off" if not training.location or not (placed or asked) else "on" if both else "weak"
    where = [name for name, n in (("items", placed), ("requests", asked)) if n]
    return [
        Part(
            "encoder",
            "graph",
            "clicks, carts or orders that belong to a query",
            _state(joins.items_in_graph, training.graph),
            f"{joins.items_in_graph.told} items of the catalogue have a query that led to them"
            if training.graph
            else "switched off (training.graph)",
        ),
        Part(
            "encoder",
            f"user history ({training.history})",
            "user or client ids that come again",
            _state(joins.with_history, training.history != "none"),
            f"{joins.with_history.told} requests are of somebody who clicked or ordered before"
            if training.history != "none"
            else "switched off (training.history)",
        ),
        Part(
            "encoder",
            "location",
            "country, language, zip or coordinates of items and of requests",
            place,
            "switched off (training.location)"
            if not training.location
            else f"where they are is known of {' and '.join(where)}{'' if len(where) == 2 else ' alone'}"
            if where
            else "nothing says where items or people are",
        ),
    ]


def _objectives(training: TrainingSettings, learning: Learning) -> list[Part]:
    prior, orders = training.quality_prior, learning.ordered["validation"]
    needed = round(2 * LEAST_PRIOR_REQUESTS / STOPPING_SHARE)
    train = {
        "click": ("clicked over negatives", "requests with a click", learning.clicked),
        "unclicked": ("unclicked over negatives", "items shown and not clicked", None),
        "click_over_unclicked": (
            "clicked over unclicked",
            "requests with an item clicked and another not",
            learning.clicked_and_unclicked,
        ),
        "order_over_unclicked": (
            "ordered over unclicked",
            "requests with an item ordered and another not clicked",
            learning.ordered_and_unclicked,
        ),
        "fused": ("all stages in one softmax", "requests with a click", learning.clicked),
        "multi_part_hinge": ("a threshold per stage", "requests with a click", learning.clicked),
    }
    parts = [
        Part(
            "prior",
            "quality prior",
            f"about {needed:,} requests with an order in the validation days",
            "off" if not prior.on or not orders else "on" if orders >= needed else "weak",
            f"{orders:,} requests with an order" if prior.on else "switched off (training.quality_prior.on)",
        )
    ]
    for key, (name, needs, counts) in train.items():
        weight = getattr(training, f"weight_{key}")
        if not weight and key in ("fused", "multi_part_hinge"):
            continue
        n = counts["train"] if counts is not None else learning.rows["train"]["unclicked"]
        state: PartState = "off" if not weight or not n else "on" if n >= FEW_REQUESTS else "weak"
        told = f"{n:,} to train on" if weight else f"switched off (training.weight_{key})"
        parts.append(Part("objective", name, needs, state, told))
    return parts
