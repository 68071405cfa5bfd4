"""What a request may be."""

from __future__ import annotations

from typing import Any

import pytest

from infra.contract.request import Request
from infra.settings import ServingSettings
from serving.request import check_request

LIMITS = ServingSettings(max_k=50, max_query_chars=20)


@pytest.mark.parametrize(
    ("user", "query", "k", "said"),
    [
        ("u", None, 10, "query must be a str"),
        ("u", b"shoes", 10, "query must be a str"),
        ("u", "x" * 21, 10, "21 characters"),
        ("u", "x" * 100_000, 10, "100000 characters"),
        ("u", "a\ud800", 10, "not valid Unicode"),
        (7, "shoes", 10, "user must be a str or None"),
        ("\udfff", "shoes", 10, "not valid Unicode"),
        ("u", "shoes", 0, "from 1 to 50"),
        ("u", "shoes", -1, "from 1 to 50"),
        ("u", "shoes", 51, "from 1 to 50"),
        ("u", "shoes", 1.0, "from 1 to 50"),
        ("u", "shoes", True, "from 1 to 50"),
        ("u", "shoes", "10", "from 1 to 50"),
    ],
)
def test_bad_requests_say_what_is_wrong(user: Any, query: Any, k: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_request(LIMITS, Request(user=user, query=query, k=k))


@pytest.mark.parametrize(
    "query", ["shoes", "4", "  red   shoes ", "Ünïcode", "靴", "кроссовки 🙂", "a\x00b", "", "--", "🙂"]
)
@pytest.mark.parametrize("user", [None, "u1", "", 'o\'neil "x"'])
def test_good_requests_pass(user: str | None, query: str) -> None:
    check_request(LIMITS, Request(user=user, query=query, k=50))
