"""A record is one line of JSON, whatever it holds."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infra.logs import JsonLines, logged_with


def line(record: logging.LogRecord, release: str | None = "r1") -> dict[str, Any]:
    text = JsonLines("demo", lambda: {"release": release}).format(record)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def record(message: str, **extra: Any) -> logging.LogRecord:
    return logging.getLogger("serving.x").makeRecord(
        "serving.x", logging.WARNING, "f", 1, message, (), None, extra=extra
    )


@given(st.text())
def test_any_message_is_one_line(message: str) -> None:
    found = line(record(message))
    assert found["message"] == message
    assert (found["level"], found["logger"], found["shop"], found["release"]) == ("warning", "serving.x", "demo", "r1")


def test_ids_are_those_of_the_block_and_of_the_record() -> None:
    with logged_with(request="a"):
        assert line(record("x"))["request"] == "a"
        assert line(record("x", fields={"request": "b", "ms": 1.5}))["request"] == "b"
    assert "request" not in line(record("x")) and "release" not in line(record("x"), release=None)


def test_a_run_of_dagsters_names_itself() -> None:
    meta = {"orig_message": "50%  tokens", "run_id": "r-1", "job_name": "retrain", "step_key": "towers"}
    found = line(record("retrain - r-1 - towers - 50%  tokens", dagster_meta=meta))
    assert [found[name] for name in ("message", "run", "job", "step")] == ["50%  tokens", "r-1", "retrain", "towers"]


def test_an_exception_is_within_the_line() -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError:
        failed = record("it failed")
        failed.exc_info = sys.exc_info()
    assert "ValueError: broken\nin two" in line(failed)["exception"]
