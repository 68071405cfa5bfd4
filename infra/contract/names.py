"""Names that more than one room speaks of; those of features are read off the tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, get_args

import pyarrow as pa

from infra.contract.tables import ITEM_FEATURES, QUERY_FEATURES, USER_FEATURES, feature_names

FEATURE_SERVICE = "towers_v2"
"""What the towers of this version read online. A model that reads other features gets a service of its own."""

Interaction = Literal["click", "cart", "order"]
INTERACTIONS: tuple[Interaction, ...] = get_args(Interaction)
"""What a user does to an item, as ``tables.EVENTS`` has it."""
STAGE_OF: dict[Interaction, str] = {"click": "clicked", "cart": "carted", "order": "ordered"}
"""What it makes of the item: the stages from the first to the deepest, one of ``tables.STAGES`` each."""
Action = Literal["search", Interaction]
ACTIONS: tuple[Action, ...] = get_args(Action)
"""What can be recorded of a user while the shop serves."""

LEAST_CLICKED_REQUESTS = 2
"""Requests of the train window that led to a click, without which there is nothing to learn."""

STOPPING_SHARE = 0.25
"""Share of the validation users whose requests choose the epoch and the quality prior; the others' judge them."""
LEAST_PRIOR_REQUESTS = 50
"""Without this many requests in each half, one to fit the quality prior and one to confirm it, there is none."""

SHORT, LONG = timedelta(days=7), timedelta(days=30)
"""The windows behind names that end in ``_7d`` and ``_30d``."""
OVERFETCH = 3
"""Events looked at per kept entry of a user's lists: a click, a cart and an order of one item are one entry."""


def _numeric(table: pa.Schema) -> tuple[str, ...]:
    return tuple(name for name in feature_names(table) if not pa.types.is_list(table.field(name).type))


USER_LISTS = tuple(name for name in feature_names(USER_FEATURES) if pa.types.is_list(USER_FEATURES.field(name).type))
"""A user's history: lists of names, newest first."""
USER_NUMERIC, QUERY_NUMERIC, ITEM_NUMERIC = _numeric(USER_FEATURES), _numeric(QUERY_FEATURES), _numeric(ITEM_FEATURES)
REQUEST_NUMERIC = (*USER_NUMERIC, *QUERY_NUMERIC)
"""What the query tower reads as numbers."""
ITEM_COUNTS = ("impressions_30d", "clicks_30d", "orders_30d")
"""How an item was met in the 30 days before a moment: what a release carries of each item, for explanations."""

LIST_LENGTHS = {name: name for name in USER_LISTS} | {"recent_brands": "recent_items"}
"""A user's list -> the setting that says how many of it are kept; brands are those of the recent items."""
TOWER_LISTS = tuple(name for name in USER_LISTS if name != "order_history")
"""Those that towers read; of each, ``TowerConfig`` has the length by the name of its setting."""
