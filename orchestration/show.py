"""What ``shelfwise search`` and ``shelfwise status`` print; without Dagster, which takes seconds to import."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from infra.services import status as services_status
from infra.settings import Settings
from serving import Retrieval, Retriever


def print_retrieval(console: Console, retriever: Retriever, answer: Retrieval) -> None:
    """Hits of one query, and what was behind them."""
    table = Table()
    for column in ("", "item", "score", "what it is"):
        table.add_column(column)
    for rank, hit in enumerate(answer.hits, start=1):
        table.add_row(str(rank), hit.item_id, f"{hit.score:.3f}", retriever.describe(hit.item_id))
    console.print(table)
    timings = "  ".join(f"{step} {ms:.1f} ms" for step, ms in answer.timings_ms.items())
    console.print(f"release {answer.release_id}   personalized: {'yes' if answer.personalized else 'no'}   {timings}")
    if answer.fallbacks:
        console.print(f"[yellow]Fallbacks[/] {', '.join(answer.fallbacks)}")


def print_status(console: Console, settings: Settings) -> None:
    """Services of the shop and the live release."""
    for service in services_status(settings):
        console.print(service)
    console.print(f"Shop {settings.shop_name} under {settings.paths.root}")
