"""The same query as different users see it."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np

from infra.contract.partitions import partition_files, written_days
from infra.settings import Settings
from serving import Retriever

UNKNOWN_USER = "nobody-yet"
CANDIDATES = 40


@dataclass(frozen=True)
class SideBySide:
    """``columns[i]`` are the titles that ``users[i]`` (name, history in words) gets, best first."""

    query: str
    users: list[tuple[str, str]]
    columns: list[list[str]]


def side_by_side(settings: Settings, retriever: Retriever, k: int = 10) -> SideBySide:
    """Search a query that many users ask, as the two of the busiest users whose results differ most.

    Raises:
        LookupError: the logs hold no query with text.
    """
    query = common_query(settings)
    found = {user: retriever.retrieve(user, query, k=k) for user in busiest_users(settings)}
    users = [user for user, answer in found.items() if answer.personalized]
    shown, columns = [], []
    for user in [*least_alike(users, [{h.item_id for h in found[u].hits} for u in users]), UNKNOWN_USER]:
        answer = retriever.retrieve(user, query, k=k, explain=True)
        history = "; ".join((answer.features or {}).get("recent_queries", [])[:3]) or "no history"
        shown.append((user, history))
        columns.append([retriever.describe(hit.item_id) for hit in answer.hits])
    return SideBySide(query, shown, columns)


def least_alike(users: list[str], results: list[set[str]]) -> list[str]:
    """The two users whose results have the fewest items in common; all of them where there are fewer than two."""
    if len(users) < 2:
        return users
    items = {item: column for column, item in enumerate(sorted(set().union(*results)))}
    has = np.zeros((len(users), len(items)), dtype=np.int32)
    for row, result in enumerate(results):
        has[row, [items[item] for item in result]] = 1
    common = has @ has.T
    np.fill_diagonal(common, common.max() + 1)
    left, right = np.unravel_index(np.argmin(common), common.shape)
    return [users[int(left)], users[int(right)]]


def common_query(settings: Settings) -> str:
    """The query that most users ask on the newest day."""
    files = partition_files(
        settings.paths.sessions / "requests", written_days(settings.paths.sessions / "requests")[-1:]
    )
    row = (
        duckdb.execute(
            "SELECT query FROM read_parquet($files) WHERE query <> '' "
            "GROUP BY query ORDER BY count(DISTINCT user_id) DESC, query LIMIT 1",
            {"files": files},
        ).fetchone()
        if files
        else None
    )
    if row is None:
        raise LookupError("The logs hold no request with a query text: nothing to show.")
    return str(row[0])


def busiest_users(settings: Settings) -> list[str]:
    """The users with the most events over the last seven days of the logs, at most ``CANDIDATES``."""
    table = settings.paths.sessions / "events"
    rows = duckdb.execute(
        "SELECT user_id FROM read_parquet($files) WHERE user_id IS NOT NULL"
        " GROUP BY user_id ORDER BY count(*) DESC, user_id LIMIT $n",
        {"files": partition_files(table, written_days(table)[-7:]), "n": CANDIDATES},
    ).fetchall()
    return [str(user) for (user,) in rows]
