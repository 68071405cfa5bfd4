"""Filters of a request: checked against the release's fields, then one meaning for Milvus and for memory.

``{"brand": "Acme", "color": ["red", "blue"], "price": {"gte": 10, "lt": 50}, "category": "Shoes"}``: equality, any of,
range. All must hold. A field with several values on an item (category levels, tags) matches when one of them does. An
absent value never matches. Text is the value that it is, else the only one that it is but for case and spaces; of a
category also the path from its root, or the beginning of one: ``"A > B"``, ``"A/B"``, in a list of them ``["A", "B"]``.
A list under ``category_path`` is one path, a list of lists any of several; a list under ``category`` any of its values.
A text that no item has matches none, and the filter says so (``unknown``).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from serving.errors import BadRequest
from serving.field_values import BETWEEN, Path
from serving.fields import MISSING, Field, FilterFields
from serving.hits import DESCRIBED

MAX_VALUES = 1_000
"""Values in one "any of"."""
MOST_SPELLED = 20
"""Values of a filter that no item has as they are written, beyond which none is looked for in other spellings."""
MOST_EXPLAINED = 5
"""Unknown values of a request that are told the nearest ones."""
PATH = "category_path"
"""What the category is called where it is a path, as items have it."""
OPERATORS = {
    "gt": (">", pc.greater),
    "gte": (">=", pc.greater_equal),
    "lt": ("<", pc.less),
    "lte": ("<=", pc.less_equal),
}

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


@dataclass(frozen=True)
class UnknownValue:
    """A value that was asked for and that no item has."""

    __pydantic_config__: ClassVar[dict[str, bool]] = DESCRIBED

    field: str
    value: str
    nearest: tuple[str, ...]
    """Values that may have been meant, the likeliest first."""


@dataclass(frozen=True)
class AnyOf:
    """One of the field's values is one of these, or its levels begin with one of the paths."""

    field: Field
    values: tuple[str, ...] | tuple[float, ...]
    paths: tuple[Path, ...] = ()
    unknown: tuple[str, ...] = dataclass_field(default=(), compare=False)
    """What else was asked for, which no item has."""

    def expression(self) -> str:
        """The clause in Milvus's language."""
        if not (self.values or self.paths):
            (column, *_), empty = self.field.columns, literal("")
            return f"({column} == {empty} and {column} != {empty})"
        values = ", ".join(literal(v) for v in self.values)
        either = [f"{column} in [{values}]" for column in self.field.columns] if values else []
        for path in self.paths:
            levels = zip(self.field.columns, path, strict=False)
            either.append("(" + " and ".join(f"{column} == {literal(level)}" for column, level in levels) + ")")
        return "(" + " or ".join(either) + ")"

    def mask(self, columns: pa.Table) -> NDArray[np.bool_]:
        """Which rows match, [items]."""
        wanted = pa.array(self.values, pa.string() if self.field.kind == "text" else pa.float64())
        masks = [pc.is_in(columns[c], value_set=wanted).to_numpy() for c in self.field.columns]  # of no values: none
        for path in self.paths:
            levels = zip(self.field.columns, path, strict=False)
            masks.append(np.logical_and.reduce([pc.equal(columns[c], level).to_numpy() for c, level in levels]))
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
    unknown: tuple[UnknownValue, ...] = dataclass_field(default=(), compare=False)
    """Values that no item has."""

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
    clauses = tuple(_clause(name, wanted, fields) for name, wanted in filters.items())
    return Filter(clauses, _unknown(clauses, fields))


def _clause(name: Any, wanted: Any, fields: FilterFields) -> AnyOf | Range:
    found = fields.by_name.get(name) if isinstance(name, str) else None
    if found is None and name == PATH:
        found = next((one for one in fields.by_name.values() if one.are_levels), None)
    if found is None:
        known = ", ".join(fields.by_name) or "none"
        raise BadRequest(f"unknown filter field {name!r}; this release has: {known}")
    if isinstance(wanted, Mapping):
        return _range(found, wanted)
    several = _is_several(wanted)
    values = list(wanted) if several else [wanted]
    if not values:
        raise BadRequest(f"filter {name!r}: an empty list matches nothing; leave the field out instead")
    if len(values) > MAX_VALUES:
        raise BadRequest(f"filter {name!r}: {len(values)} values, at most {MAX_VALUES} are taken")
    if found.kind == "number":
        return AnyOf(found, tuple(_number(found, v) for v in values))
    is_path = several and name == PATH != found.name and not any(map(_is_several, values))
    return _any_text(found, values, fields, is_path=is_path)


def _any_text(of: Field, wanted: Sequence[Any], fields: FilterFields, *, is_path: bool) -> AnyOf:
    """Any of the values and paths; ``is_path``: they are the levels of one path."""
    known = fields.values_of(of)
    found: Sequence[str | Path | None]
    if is_path:
        texts = [_levels(of, wanted)]
        found = known.resolve_paths(texts)
    else:
        texts = [_levels(of, value) if of.are_levels and _is_several(value) else _text(of, value) for value in wanted]
        found = known.resolve(texts)
    left = [text for text, one in zip(texts, found, strict=True) if one is None]
    spelled = {} if is_path else {text: known.spellings(text) for text in left[:MOST_SPELLED]}
    values = [one for one in found if isinstance(one, str)]
    return AnyOf(
        of,
        tuple(dict.fromkeys([*values, *chain.from_iterable(spelled.values())])),
        tuple(one for one in found if isinstance(one, tuple)),
        tuple(text for text in left if not spelled.get(text)),
    )


def _unknown(clauses: Iterable[AnyOf | Range], fields: FilterFields) -> tuple[UnknownValue, ...]:
    """The values of text that no item has, the first of them with the nearest that there are."""
    found: list[UnknownValue] = []
    for clause in clauses:
        for value in clause.unknown if isinstance(clause, AnyOf) else ():
            known = fields.values_of(clause.field)
            nearest = known.nearest(value) if len(found) < MOST_EXPLAINED else ()
            found.append(UnknownValue(clause.field.name, value, nearest))
    return tuple(found)


def _is_several(wanted: Any) -> bool:
    return isinstance(wanted, Collection) and not isinstance(wanted, str | bytes | Mapping)


def _levels(of: Field, wanted: Collection[Any]) -> str:
    """A path that is written as the list of its levels."""
    return _text(of, BETWEEN.join(_text(of, level) for level in wanted))


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
