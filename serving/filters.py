"""Filters of a request: checked against the release's fields, then one meaning for Milvus and for memory.

``{"brand": "Acme", "color": ["red", "blue"], "price": {"gte": 10, "lt": 50}, "category": "Shoes"}``: equality, any of,
range. All must hold. A field with several values on an item (category levels, tags) matches when one of them does. An
absent value never matches.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from serving.errors import BadRequest
from serving.fields import MISSING, Field, FilterFields

MAX_VALUES = 1_000
"""Values in one "any of"."""
OPERATORS = {
    "gt": (">", pc.greater),
    "gte": (">=", pc.greater_equal),
    "lt": ("<", pc.less),
    "lte": ("<=", pc.less_equal),
}

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


@dataclass(frozen=True)
class AnyOf:
    """One of the field's values is one of these."""

    field: Field
    values: tuple[str, ...] | tuple[float, ...]

    def expression(self) -> str:
        """The clause in Milvus's language."""
        values = ", ".join(literal(v) for v in self.values)
        return "(" + " or ".join(f"{column} in [{values}]" for column in self.field.columns) + ")"

    def mask(self, columns: pa.Table) -> NDArray[np.bool_]:
        """Which rows match, [items]."""
        wanted = pa.array(self.values)
        masks = [pc.is_in(columns[c], value_set=wanted).to_numpy() for c in self.field.columns]
        return np.asarray(np.logical_or.reduce(masks))


@dataclass(frozen=True)
class Range:
    """The field's number is known and within all bounds."""

    field: Field
    bounds: tuple[tuple[str, float], ...]

    def expression(self) -> str:
        """The clause in Milvus's language."""
        (column,) = self.field.columns
        bounds = [f"{column} {OPERATORS[name][0]} {literal(bound)}" for name, bound in self.bounds]
        return "(" + " and ".join([f"{column} > {literal(MISSING)}", *bounds]) + ")"

    def mask(self, columns: pa.Table) -> NDArray[np.bool_]:
        """Which rows match, [items]."""
        values = columns[self.field.columns[0]]
        masks = [OPERATORS[name][1](values, bound).to_numpy() for name, bound in self.bounds]
        return np.asarray(np.logical_and.reduce([pc.greater(values, MISSING).to_numpy(), *masks]))


@dataclass(frozen=True)
class Filter:
    """Clauses that must all hold; none: every item matches."""

    clauses: tuple[AnyOf | Range, ...] = ()

    def expression(self) -> str:
        """The filter in Milvus's language, ``""`` for none."""
        return " and ".join(clause.expression() for clause in self.clauses)

    def mask(self, columns: pa.Table) -> NDArray[np.bool_] | None:
        """Which rows of the release's filter columns match, [items]; None for all."""
        if not self.clauses:
            return None
        return np.asarray(np.logical_and.reduce([c.mask(columns) for c in self.clauses]))


def literal(value: str | float) -> str:
    """A value as a Milvus literal. The only place where a value enters an expression.

    The escapes are those that Milvus and Milvus Lite both read; any other character stands for itself in a literal.
    """
    return f'"{value.translate(_ESCAPES)}"' if isinstance(value, str) else repr(float(value))


def parse_filters(filters: Mapping[str, Any] | None, fields: FilterFields) -> Filter:
    """Check a request's filters against the fields of a release.

    Raises:
        BadRequest: an unknown field, a value of the wrong type, no value, NaN, or an unknown range operator.
    """
    if filters is None:
        return Filter()
    if not isinstance(filters, Mapping):
        raise BadRequest(f"filters must be a mapping of field to value, not {type(filters).__name__}")
    return Filter(tuple(_clause(name, wanted, fields) for name, wanted in filters.items()))


def _clause(name: Any, wanted: Any, fields: FilterFields) -> AnyOf | Range:
    field = fields.by_name.get(name) if isinstance(name, str) else None
    if field is None:
        known = ", ".join(fields.by_name) or "none"
        raise BadRequest(f"unknown filter field {name!r}; this release has: {known}")
    if isinstance(wanted, Mapping):
        return _range(field, wanted)
    several = isinstance(wanted, Collection) and not isinstance(wanted, str | bytes)
    values = list(wanted) if several else [wanted]
    if not values:
        raise BadRequest(f"filter {field.name!r}: an empty list matches nothing; leave the field out instead")
    if len(values) > MAX_VALUES:
        raise BadRequest(f"filter {field.name!r}: {len(values)} values, at most {MAX_VALUES} are taken")
    if field.kind == "text":
        return AnyOf(field, tuple(_text(field, v) for v in values))
    return AnyOf(field, tuple(_number(field, v) for v in values))


def _range(field: Field, wanted: Mapping[Any, Any]) -> Range:
    if field.kind != "number":
        raise BadRequest(f"filter {field.name!r}: a range needs a number field, this one holds text")
    unknown = [name for name in wanted if name not in OPERATORS]
    if unknown or not wanted:
        raise BadRequest(f"filter {field.name!r}: a range takes {', '.join(OPERATORS)}, got {list(wanted)}")
    return Range(field, tuple((name, _number(field, bound)) for name, bound in wanted.items()))


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise BadRequest(f"filter {field.name!r}: values are text that is not empty, got {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(f"filter {field.name!r}: {value!r} is not valid Unicode") from error
    return value


def _number(field: Field, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise BadRequest(f"filter {field.name!r}: values are numbers, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number <= MISSING:
        raise BadRequest(f"filter {field.name!r}: {value!r} is not a finite number")
    return number
