"""How a query is said over HTTP."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from serving.api.models import TWO_QUERIES
from serving.retrieval import NOTHING_TO_SEARCH

pytestmark = pytest.mark.server


@pytest.mark.parametrize("names", [("query",), ("q",), ("query", "q")])
def test_a_query_has_two_names(client: TestClient, names: tuple[str, ...]) -> None:
    expected = client.post("/search", json={"query": "red shoes", "k": 5}).json()["hits"]
    asked = {"k": 5, **dict.fromkeys(names, "red shoes")}
    assert client.post("/search", json=asked).json()["hits"] == expected
    assert client.get("/search", params=asked | {"items": False}).json()["hits"] == expected


def test_two_queries_or_none_are_refused(client: TestClient) -> None:
    two = {"query": "red shoes", "q": "mug"}
    for answer in (client.post("/search", json=two), client.get("/search", params=two)):
        assert (answer.status_code, answer.json()["detail"]) == (422, TWO_QUERIES)
    assert client.post("/search", json={"query": "mug", "q": None}).status_code == 422
    assert client.post("/search", json={"q": None}).json()["detail"].startswith("query: ")
    none = client.get("/search", params={"k": 5})
    assert (none.status_code, none.json()["detail"][:7]) == (422, "query: ")
    listed = client.post("/search", json={"query": "", "k": 5}).json()["hits"]
    assert client.get("/search", params={"q": "", "k": 5, "items": False}).json()["hits"] == listed


def test_the_description_of_a_search_has_both_names(client: TestClient) -> None:
    told = client.get("/openapi.json").json()
    body = told["components"]["schemas"]["SearchRequest"]
    assert list(body["properties"])[:2] == ["query", "q"] and "required" not in body
    assert body["anyOf"] == [{"required": ["query"]}, {"required": ["q"]}]
    quick = {parameter["name"]: parameter["required"] for parameter in told["paths"]["/search"]["get"]["parameters"]}
    assert list(quick)[:2] == ["query", "q"] and not any(quick.values())


@pytest.mark.parametrize("query", ["--", "🙂"])
def test_what_cannot_be_searched_is_answered_with_no_hits_and_why(client: TestClient, query: str) -> None:
    asked = {"query": query, "user": "u1", "k": 5}
    for answer in (client.post("/search", json=asked), client.get("/search", params=asked)):
        assert answer.status_code == 200
        told = answer.json()
        assert (told["hits"], told["not_searched"]) == ([], NOTHING_TO_SEARCH)
    assert "not_searched" not in client.post("/search", json=asked | {"query": "mug"}).json()
