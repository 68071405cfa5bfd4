"""The ``shelfwise`` command."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from infra.logs import log_as_json
from infra.settings import ApiSettings, Settings, get_settings
from infra.telemetry import silence
from infra.threads import wait_quietly
from orchestration.plain_console import PlainConsole

app = typer.Typer(
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    help="Personalized search retrieval, from logs to live.",
)
console = PlainConsole()

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Folder or fsspec URL of logs by day (or of a catalogue and judged queries). None: the demo shop.",
    ),
]
Shop = Annotated[str | None, typer.Option("--shop", help="Name of the shop; None: the last part of --data, or demo.")]


def name_shop(data: str | None, shop: str | None) -> Settings:
    """Name the shop to this process and its children through the environment, as any setting is named."""
    if data is not None:
        os.environ["SHELFWISE_LANDING"] = data if "://" in data else str(Path(data).expanduser().resolve())
    if shop is not None:
        os.environ["SHELFWISE_SHOP"] = shop
    silence()
    wait_quietly()
    get_settings.cache_clear()
    settings = get_settings()
    if settings.log.format == "json":
        log_as_json(settings)
    return settings


def use_shop(data: str | None, shop: str | None, *, makes: bool = False) -> Settings:
    """Name the shop, and refuse one whose folder holds other logs or whose landing folder is not there.

    Args:
        makes: the command makes the shop where there is none; the others leave no folder of a mistyped name behind,
            but where releases are fetched, which makes it.
    """
    settings = name_shop(data, shop)
    if (settings.paths.root / "shop.json").exists():
        from orchestration.shop import claim_shop

        claim_shop(settings, settings.landing)
    landing = settings.landing
    if landing is not None and "://" not in landing and not Path(landing).expanduser().is_dir():
        is_file = Path(landing).expanduser().is_file()
        what = "this is a file; name the folder that it lies in" if is_file else "there is no such folder"
        fail(f"{f'--data {data}' if data is not None else f'SHELFWISE_LANDING={landing}'}: {what}.")
    if not (makes or settings.releases.url or settings.paths.root.is_dir()):
        shops = sorted(note.parent.name for note in settings.home.expanduser().glob("*/shop.json"))
        there_are = f"there are: {', '.join(shops)}" if shops else "make one with `shelfwise run`"
        fail(f"there is no shop {settings.shop_name} under {settings.home}; {there_are}")
    return settings


def fail(message: str) -> None:
    """Say what is wrong and leave with exit code 2."""
    PlainConsole(stderr=True).print(f"[bold red]Error[/] {escape(message)}", soft_wrap=True)
    raise typer.Exit(2)


@app.command()
def run(
    data: Data = None,
    shop: Shop = None,
    days: Annotated[
        str | None, typer.Option(help="FIRST:LAST or one day (YYYY-MM-DD); None: new and changed days.")
    ] = None,
    verbose: Annotated[bool, typer.Option(help="Dagster's own log, too.")] = False,
) -> None:
    """Run the whole loop in this process: logs to live release, then show what it gives.

    Of a catalogue without logs: the catalogue alone goes live.
    """
    use_shop(data, shop, makes=True)
    from orchestration.loop import run_loop
    from orchestration.partitions import choose_days
    from orchestration.report import print_outcome

    outcome = run_loop(choose_days(parse_days(days) if days else None), verbose=verbose)
    print_outcome(console, outcome)
    raise typer.Exit(0 if outcome.success else 1)


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="What the files are, such as ubi or ga4; docs/adapters.md has all.")],
    files: Annotated[list[str], typer.Argument(help="Files, globs, folders or fsspec URLs; a live source: its URL.")],
    to: Annotated[Path, typer.Option("--to", help="Landing folder, made where it is missing.")],
    first: Annotated[str | None, typer.Option("--from", help="First day to write, YYYY-MM-DD.")] = None,
    last: Annotated[str | None, typer.Option("--until", help="Last day to write.")] = None,
    zone: Annotated[str, typer.Option(help="Time zone of times that name none.")] = "UTC",
    replace: Annotated[bool, typer.Option(help="Write days and a catalogue anew that are there.")] = False,
    memory: Annotated[str, typer.Option(help="What DuckDB may hold in memory; beyond it, it spills.")] = "2GB",
    options: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE: an option of the source.")] = None,
) -> None:
    """Turn another log or catalogue into UBI day folders, and say what each of its events became.

    Exit code 1 where nothing came of it, or of its log.
    """
    from orchestration.importing import import_and_print

    days = (parse_days(first)[0] if first else None, parse_days(last)[1] if last else None)
    given = dict(option.partition("=")[::2] for option in options or [])
    how = {"zone": zone, "replace": replace, "memory": memory, "raw": get_settings().raw}
    outcome = import_and_print(console, source, files, to, days=days, options=given, **how)
    raise typer.Exit(0 if outcome.succeeded else 1)


@app.command()
def check(
    logs: Annotated[str, typer.Argument(help="Folder or fsspec URL of logs by day, as --data of `shelfwise run`.")],
    sample: Annotated[
        str | None,
        typer.Option(help="Read a share of the days (0.1, 10%) or so many (12): the first, the last and some between."),
    ] = None,
    to: Annotated[Path | None, typer.Option(help="The page to write; None: shelfwise-check.html here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON, and no page unless --to.")] = False,
    shop: Shop = None,
) -> None:
    """Say, before any training, whether a run would go through, what the data can feed and what its gaps cost.

    Exit code 1 where a run would stop.
    """
    settings = name_shop(logs, shop)
    from features.readiness import parse_sample, write_page
    from orchestration.readiness import check_shop, print_check

    try:
        chosen = None if sample is None else parse_sample(sample)
    except ValueError as error:
        fail(f"--sample {error}")
    with PlainConsole(stderr=True).status("reading") as status:
        checked = check_shop(settings, chosen, lambda what, share: status.update(f"{share:4.0%}  {what}"))
    if as_json:
        typer.echo(json.dumps(checked.report.to_json(), indent=2, default=str, ensure_ascii=False))
    else:
        print_check(console, checked)
    if to or not as_json:
        page = to or Path("shelfwise-check.html")
        try:
            write_page(checked.report, page)
        except OSError as error:
            fail(f"--to {page} cannot be written: {error.strerror or error}")
        if not as_json:
            console.print(f"Page: {escape(str(page.resolve()))}", soft_wrap=True, highlight=False)
    raise typer.Exit(checked.exit_code)


@app.command()
def ui(data: Data = None, shop: Shop = None) -> None:
    """Open Dagster's UI (and the checks' Data Docs) on loopback until Ctrl-C."""
    settings = use_shop(data, shop, makes=True)
    from orchestration.ui import serve_ui

    raise typer.Exit(serve_ui(settings, console))


@app.command()
def search(
    query: str,
    user: Annotated[str | None, typer.Option("--user", "-u", help="A user id; None: not personalized.")] = None,
    k: Annotated[int, typer.Option("-k")] = 10,
    filters: Annotated[str | None, typer.Option(help='JSON, such as {"brand": "Acme", "price": {"lt": 50}}')] = None,
    as_typed: Annotated[bool, typer.Option("--as-typed", help="Correct no word that the shop does not know.")] = False,
    data: Data = None,
    shop: Shop = None,
) -> None:
    """Search the live release as a user; a server of the shop that runs on this machine answers, where there is one."""
    settings = use_shop(data, shop)
    from orchestration.searching import print_retrieval, searched

    try:
        parsed: dict[str, Any] | None = json.loads(filters) if filters else None
    except json.JSONDecodeError as error:
        fail(f"--filters is not JSON: {error}")
    try:
        answer = searched(settings, user, query, k, parsed, correct=not as_typed)
    except ValueError as error:
        fail(str(error))
    print_retrieval(console, answer)


@app.command()
def status(shop: Shop = None, data: Data = None) -> None:
    """Embedded services of a shop, and the release that is live."""
    settings = use_shop(data, shop)
    from orchestration.show import print_status

    raise typer.Exit(0 if print_status(console, settings) else 1)


@app.command()
def releases(shop: Shop = None, data: Data = None) -> None:
    """The releases on disk: which is live, which may go live, and why the others may not."""
    settings = use_shop(data, shop)
    from orchestration.show import print_releases

    print_releases(console, settings)


@app.command()
def metrics(
    port: Annotated[
        int | None, typer.Option(help="Answer /metrics on this port until Ctrl-C; None: print them once.")
    ] = None,
    host: Annotated[str, typer.Option(help="Where that listens; 0.0.0.0: everywhere.")] = "127.0.0.1",
    shop: Shop = None,
    data: Data = None,
) -> None:
    """Figures of the last night for Prometheus, as a run left them when it ended."""
    settings = use_shop(data, shop)
    from orchestration.night.textfile import figures_file, serve_figures

    file = figures_file(settings)
    if port is None:
        if not file.exists():
            fail(f"{file} is not there yet: a run writes it when it has ended.")
        typer.echo(file.read_text(encoding="utf-8"), nl=False)
        return
    try:
        answers_on, thread = serve_figures(file, host, port)
    except OSError as error:
        fail(f"--port {port}: {error.strerror or error}")
        raise
    console.print(f"http://{host}:{answers_on}/metrics", highlight=False)
    with suppress(KeyboardInterrupt):
        thread.join()


@app.command()
def promote(
    release: Annotated[str, typer.Argument(help="An id that `shelfwise releases` lists, or its beginning.")],
    force: Annotated[bool, typer.Option(help="Although the gates blocked it, or did not all run.")] = False,
    shop: Shop = None,
    data: Data = None,
) -> None:
    """Make a release live that passed the gates."""
    settings = use_shop(data, shop)
    from orchestration.releases import find_release, make_live

    release = find_release(settings, release)
    before = make_live(settings, release, force=force)
    console.print(f"Live: release [bold]{release}[/], before: {before or 'nothing'}.")


@app.command()
def rollback(shop: Shop = None, data: Data = None) -> None:
    """Make the release live that was live before; a second time undoes it."""
    settings = use_shop(data, shop)
    from orchestration.releases import go_back

    console.print(f"Live: release [bold]{go_back(settings)}[/].")


@app.command()
def backup(
    to: Annotated[Path, typer.Argument(help="A folder that is not there yet.")], shop: Shop = None, data: Data = None
) -> None:
    """Copy what cannot be made again of a shop, while it is served."""
    settings = use_shop(data, shop)
    from orchestration.backup import back_up

    manifest = back_up(settings, to)
    console.print(f"{len(manifest.files)} files, live release [bold]{manifest.live}[/]: {escape(str(to))}")


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="What `shelfwise backup` wrote.")],
    shop: Shop = None,
    data: Data = None,
) -> None:
    """Bring a shop back from a backup where there is none; Redis and Milvus are filled from it."""
    settings = use_shop(data, shop, makes=True)
    from orchestration.backup import restore as bring_back

    manifest, rebuilt = bring_back(settings, source)
    console.print(
        f"Restored as of {manifest.made_at}. Live: release [bold]{rebuilt.live}[/], before: {rebuilt.before}."
    )


@app.command()
def rebuild(shop: Shop = None, data: Data = None) -> None:
    """Fill Redis and Milvus again from what is on disk, after either was lost. Nothing is trained."""
    settings = use_shop(data, shop)
    from orchestration.rebuild import rebuild as fill

    rebuilt = fill(settings)
    console.print(f"Redis: {rebuilt.rows}. Live: release [bold]{rebuilt.live}[/], before: {rebuilt.before}.")


@app.command()
def down(shop: Shop = None, data: Data = None) -> None:
    """Stop the embedded services of a shop. Their data stays."""
    settings = use_shop(data, shop)
    from infra.services import stop_all

    stopped = stop_all(settings)
    console.print(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")


@app.command()
def serve(
    data: Data = None,
    shop: Shop = None,
    host: Annotated[str | None, typer.Option(help="None: the setting api.host, which is loopback.")] = None,
    port: Annotated[int | None, typer.Option(help="None: the setting api.port.")] = None,
    log: Annotated[
        bool | None,
        typer.Option("--log/--no-log", help="Write searches and events into --data. None: ubi_log.enabled."),
    ] = None,
) -> None:
    """Serve the live release over HTTP, with a page to search on, until Ctrl-C."""
    if log is not None:
        os.environ["SHELFWISE_UBI_LOG__ENABLED"] = str(log).lower()
    # A shop without a log begins with one: there is nothing to be found of it yet.
    settings = use_shop(data, shop, makes=bool(log))
    if settings.ubi_log.enabled and settings.landing is not None and settings.ubi_log.folder is None:
        from orchestration.shop import Source, source

        if source(settings) is Source.JUDGED:
            fail(f"{settings.landing} is a catalogue with judged queries, whose sessions are made: they take no log.")
    named = {name: value for name, value in {"host": host, "port": port}.items() if value is not None}
    from serving.api.server import serve as serve_api

    api = ApiSettings.model_validate(settings.api.model_dump() | named)
    serve_api(settings.model_copy(update={"api": api}))


def parse_days(text: str) -> tuple[date, date]:
    """``FIRST:LAST`` or one day."""
    first, _, last = text.partition(":")
    try:
        return date.fromisoformat(first), date.fromisoformat(last or first)
    except ValueError:
        fail(f"--days {text}: write YYYY-MM-DD, or YYYY-MM-DD:YYYY-MM-DD.")
        raise


def main() -> None:
    """Entry of the console script: what a user can mend is said in a sentence, anything else keeps its traceback."""
    try:
        app()
    except Exception as error:
        from orchestration.mendable import sentence

        told = sentence(error)
        if told is None:
            raise
        PlainConsole(stderr=True).print(f"[bold red]Error[/] {escape(told)}", soft_wrap=True, highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
