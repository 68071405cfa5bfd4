"""What ``shelfwise search`` does: a running server of the shop answers, else this process, which loads the release."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from infra.settings import Settings
from serving.api.running import running_server, search_by
from serving.hits import title_of
from serving.retrieval import Retrieval


def searched(
    settings: Settings, user: str | None, query: str, k: int, filters: dict[str, Any] | None, *, correct: bool
) -> Retrieval:
    """The answer to one search, each hit with its item. A server answers by the settings that it was started with.

    Raises:
        ValueError: a bad query, user, k or filter.
        NoLiveRelease, IndexUnavailable, ReleaseError: no server runs, and nothing can be loaded.
    """
    server = running_server(settings)
    if server is not None:
        asked = {"user": user, "query": query, "k": k, "filters": filters, "correct": correct, "items": True}
        answer = search_by(server, settings, asked)
        if answer is not None:
            return answer
    from serving import Retriever

    with Retriever(settings) as retriever:
        return retriever.retrieve(user, query, k=k, filters=filters, items=True, correct=correct)


def print_retrieval(console: Console, answer: Retrieval) -> None:
    """Hits of one query, which have their items, and what was behind them."""
    if answer.corrected:
        console.print(
            f"Showing results for [bold]{escape(answer.corrected)}[/]; --as-typed searches for the query itself."
        )
    for unknown in answer.unknown_values:
        meant = f" The nearest: {', '.join(unknown.nearest)}." if unknown.nearest else ""
        console.print(Text(f"No item has the {unknown.field} {unknown.value!r}.{meant}", "yellow"))
    if answer.not_searched:
        console.print(f"[yellow]Nothing was searched for:[/] {answer.not_searched}.")
    if answer.confident is False:
        nearest = " These items are the nearest." if answer.hits else ""
        console.print(f"[yellow]Nothing in this shop seems to fit.[/]{nearest}")
    table = Table()
    for column in ("", "item", "score", "what it is"):
        table.add_column(column)
    for rank, hit in enumerate(answer.hits, start=1):
        what = title_of(hit.item or {"item_id": hit.item_id})
        table.add_row(str(rank), Text(hit.item_id), f"{hit.score:.3f}", Text(what))
    console.print(table)
    timings = "  ".join(f"{step} {ms:.1f} ms" for step, ms in answer.timings_ms.items())
    console.print(f"release {answer.release_id}   personalized: {'yes' if answer.personalized else 'no'}   {timings}")
    if answer.fallbacks:
        console.print(f"[yellow]Fallbacks[/] {', '.join(answer.fallbacks)}")
