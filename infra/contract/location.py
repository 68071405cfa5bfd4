"""What a location is: the columns of ``tables.LOCATION``, and what may stand in them."""

from __future__ import annotations

from collections.abc import Mapping

from infra.contract.tables import LOCATION_NAMES

BOUNDS = {"latitude": 90.0, "longitude": 180.0}
"""Degrees lie between minus this and this."""
MAX_TEXT_CHARS = 64
"""A longer text is no country, language or postal code."""


def check_location(location: Mapping[str, object]) -> None:
    """Refuse what a caller must not send as a location; None stands for absent.

    Raises:
        ValueError: an unknown field, a wrong type, a text that is too long, half a point, or degrees out of range.
    """
    if unknown := [name for name in location if name not in LOCATION_NAMES]:
        raise ValueError(f"location has unknown fields {unknown}; allowed are {', '.join(LOCATION_NAMES)}")
    for name, value in location.items():
        if value is None:
            continue
        if name not in BOUNDS:
            if not isinstance(value, str) or len(value) > MAX_TEXT_CHARS:
                raise ValueError(f"location {name} must be a text of at most {MAX_TEXT_CHARS} characters, or None")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= BOUNDS[name]:
            raise ValueError(f"location {name} must be a number of degrees from {-BOUNDS[name]} to {BOUNDS[name]}")
    if (location.get("latitude") is None) != (location.get("longitude") is None):
        raise ValueError("location needs both latitude and longitude, or neither")
