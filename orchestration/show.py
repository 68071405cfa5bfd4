"""What ``shelfwise status`` and ``releases`` print; without Dagster, which takes seconds to import."""

from __future__ import annotations

from datetime import timedelta

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from infra.services import status as services_status
from infra.settings import Settings
from orchestration.releases import State, release_statuses
from serving.index import live_release_id, nothing_live
from training.release.manifest import ReleaseError, verify_release
from training.release.places import release_folder

COLOURS: dict[State, str] = {
    "live": "bold green", "previous": "green", "ready": "cyan", "blocked": "red", "unproven": "yellow",
}  # fmt: skip


def print_releases(console: Console, settings: Settings) -> None:
    """A row per release, the newest first, and below it why those may not go live that may not."""
    found = release_statuses(settings)
    if not found:
        console.print(f"Shop {escape(settings.shop_name)} has no release yet: run shelfwise run.")
        return
    table = Table(title=f"Releases of shop {escape(settings.shop_name)}", title_justify="left", show_edge=False)
    for column in ("release", "trained (UTC)", "data until", "recall@100", "state"):
        table.add_column(column, no_wrap=column in ("release", "state"))  # the others wrap on a narrow terminal
    for release in found:
        state = f"[{COLOURS[release.state]}]{release.state}[/]"
        trained = f"{release.trained_at:%Y-%m-%d %H:%M}" if release.trained_at else "unknown"
        # the window ends with its last day, at the midnight after it
        until = f"{release.data_until - timedelta(microseconds=1):%Y-%m-%d}" if release.data_until else "unknown"
        table.add_row(release.id, trained, until, Text(release.recall), state)
    console.print(table)
    for release in found:
        for reason in release.reasons:
            console.print(Text(f"{release.id}  {reason}"), soft_wrap=True)


def print_status(console: Console, settings: Settings) -> bool:
    """Services of the shop and the live release; whether that is whole on this machine."""
    title = escape(f"Shop {settings.shop_name} under {settings.paths.root}")
    table = Table(title=title, title_justify="left")
    for column in ("service", "state", "pid", "address", "log"):
        table.add_column(column)
    for service in services_status(settings):
        state = "in use" if service.used else "running" if service.running else "not running"
        table.add_row(service.name, state, str(service.pid or ""), service.address or "", Text(service.log[-200:]))
    console.print(table)
    live = live_release_id(settings)
    if live is None:
        told = str(nothing_live(settings))
        console.print(escape(f"{told[0].upper()}{told[1:]}."), soft_wrap=True)
        return True
    try:
        verify_release(release_folder(settings, live))
    except ReleaseError as error:
        console.print(
            f"Live by the index: release [bold]{live}[/], [red]which cannot serve[/]:",
            escape(str(error)),
            soft_wrap=True,
        )
        return False
    console.print(f"Live: release [bold]{live}[/]")
    return True
