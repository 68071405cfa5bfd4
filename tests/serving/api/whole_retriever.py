"""A retriever over a real release with the display side of the contract, for what the one at hand may lack."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from serving.retriever import Retriever


class WholeRetriever(Retriever):
    """Items, fields and users as the release and the test have them; events go into a list."""

    recorded: list[tuple[Any, ...]]

    def items(self, item_ids: Sequence[str]) -> list[dict[str, Any]]:
        rows = {row["item_id"]: row for row in self._live.served.release.items.to_pylist()}
        return [rows[item_id] for item_id in item_ids if item_id in rows]

    def fields(self) -> list[dict[str, Any]]:
        by_name = self._live.served.fields.by_name
        return [{"name": name, "kind": field.kind, "values": ["Acme"]} for name, field in by_name.items()]

    def users(self) -> list[str]:
        return ["u1"]

    def record(
        self,
        user: str,
        action: str,
        query: str | None = None,
        item_id: str | None = None,
        time: datetime | None = None,
    ) -> None:
        if (query is None) == (action == "search"):
            raise ValueError(f"a {action} needs its {'query' if action == 'search' else 'item_id'}")
        self.recorded = [*getattr(self, "recorded", []), (user, action, query, item_id, time)]

    def statistics(self) -> dict[str, Any]:
        return {"cache": {"context": {"hits": 3, "misses": 4}}, "fallbacks": {}}
