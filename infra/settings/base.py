"""What every group of settings is made of, and how a recipe and what is set go together."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


def _seconds(value: Any) -> Any:
    """A number as text, as environment variables have it, as a number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


Duration = Annotated[timedelta, BeforeValidator(_seconds)]
"""Seconds, or text such as ``00:30:00`` or ``P1DT2H``."""


class Group(BaseModel):
    """A group of settings: immutable, and a misspelt name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


RECIPES = Path(__file__).parents[1] / "recipes"


def read_recipe(name: str) -> dict[str, Any]:
    """A recipe's settings of the group ``training``; an unknown name gives none, and the settings say what is wrong."""
    file = RECIPES / f"{name}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def merged(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """``defaults`` with ``given`` on top, group by group: a group of which one setting is given keeps the others."""
    result = dict(defaults)
    for name, value in given.items():
        # A group given as an object says as much as was set in it; the rest of it is not what somebody chose.
        group = value.model_dump(exclude_unset=True) if isinstance(value, Group) else value
        below = result.get(name)
        result[name] = merged(below, group) if isinstance(below, dict) and isinstance(group, dict) else value
    return result
