"""What a retriever may not have yet. To be deleted when it has all of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any


def given(retriever: Any, name: str, *arguments: Any, default: Any, **named: Any) -> Any:
    """Call a method of the retriever, or give ``default`` where it has none of that name."""
    method = getattr(retriever, name, None)
    return default if method is None else method(*arguments, **named)


def taken(method: Callable[..., Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the arguments that the method takes."""
    known = inspect.signature(method).parameters
    return {name: value for name, value in asked.items() if name in known}
