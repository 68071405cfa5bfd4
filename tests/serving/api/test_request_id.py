"""A caller's ids are kept where they are harmless, in the log and in the answer, and nothing else is."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from serving.api.request_id import request_id, trace_ids

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_the_callers_ids_are_in_the_answer_and_the_log(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"X-Request-ID": "shop-7/42", "traceparent": f"00-{TRACE}-{SPAN}-01"}
    with caplog.at_level(logging.INFO, "shelfwise.requests"):
        answer = client.post("/search", json={"query": "shoes"}, headers=headers)
    assert answer.headers["x-request-id"] == "shop-7/42"
    (line,) = (json.loads(r.getMessage()) for r in caplog.records if r.name == "shelfwise.requests")
    assert (line["id"], line["trace"], line["span"]) == ("shop-7/42", TRACE, SPAN)


@pytest.mark.parametrize("given_", ["", " ", "a b", "a\tb", "a" * 129, "\u00e9", '"', "-", "<script>"])
def test_an_id_that_could_do_harm_is_replaced(given_: str) -> None:
    made = request_id(Headers({"x-request-id": given_}))
    assert made != given_ and len(made) == 16


@pytest.mark.parametrize(
    ("header", "ids"),
    [
        (f"00-{TRACE}-{SPAN}-00", {"trace": TRACE, "span": SPAN}),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", {"trace": TRACE, "span": SPAN}),
        (f"ff-{TRACE}-{SPAN}-01", {}),
        (f"00-{TRACE}-{SPAN}-01-more", {}),
        (f"00-{'0' * 32}-{SPAN}-01", {}),
        (f"00-{TRACE}-{'0' * 16}-01", {}),
        (f"00-{TRACE.upper()}-{SPAN}-01", {}),
        ("", {}),
    ],
)
def test_the_trace_is_that_of_a_valid_header(header: str, ids: dict[str, str]) -> None:
    assert trace_ids(Headers({"traceparent": header})) == ids


@given(st.text(st.characters(max_codepoint=255), max_size=200))
def test_no_id_breaks_a_line_or_a_header(text: str) -> None:
    made = request_id(Headers({"x-request-id": text}))
    assert 0 < len(made) <= 128 and made.isascii() and not set(made) & set(" \r\n\t\"'<>")
