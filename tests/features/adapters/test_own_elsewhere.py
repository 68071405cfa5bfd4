"""Logs as programs of other countries and other trades write them."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from features.adapters.base import AdapterError
from features.adapters.own_fields import spelling
from features.adapters.run import Imported, import_logs
from tests.features.adapters.test_own import Row, clock, lines, own_shop, told

HEADERS: dict[str, list[str]] = {
    "German": ["Datum", "Uhrzeit", "Suchbegriff", "Kunden-Nr", "Artikelnummer", "Aktion",
               "Suche", "Klick", "In den Warenkorb", "Kauf"],
    "Spanish": ["Fecha", "Hora", "Búsqueda", "Usuario", "Producto", "Acción",
                "buscar", "clic", "añadir al carrito", "compra"],
    "French": ["Jour", "Heure", "Recherche", "Utilisateur", "Produit", "Événement",
               "recherche", "clic", "ajout au panier", "achat"],
}  # fmt: skip


def imported_of(folder: Path, file: Path, **how: Any) -> Imported:
    imported = import_logs("own", [str(file)], folder / "to", **how)
    assert sum(rows for _, _, rows, _ in imported.became) == imported.rows_in
    return imported


@pytest.mark.parametrize("language", HEADERS)
@pytest.mark.parametrize("packed", ["", ".gz", ".zst"])
def test_headers_and_actions_of_other_languages(tmp_path: Path, language: str, packed: str) -> None:
    day, hour, text, who, item, what, *actions = HEADERS[language]
    rows = [["01.05.2026", f"10:00:{n}0", "rote Lampe", "7", "" if n == 0 else "a", action, "1.299,50"]
            for n, action in enumerate(actions)]  # fmt: skip
    table = "\r\n".join(";".join(row) for row in [[day, hour, text, who, item, what, "Preis"], *rows])
    data = table.encode("utf-8-sig")
    file = tmp_path / f"log.csv{packed}"
    file.write_bytes({"": data, ".gz": gzip.compress(data), ".zst": pa.compress(data, "zstd", asbytes=True)}[packed])
    shop = own_shop(tmp_path, file)
    assert told(shop) == {(kind, "a", "rote Lampe") for kind in ("click", "cart", "order")}
    assert {row["time"].isoformat() for row in shop.rows("events")} == {
        f"2026-05-01T10:00:{n}0+00:00" for n in (1, 2, 3)
    }
    assert {row["user_id"] for row in shop.rows("requests")} == {"7"}


def test_a_flat_table_of_ga4(tmp_path: Path) -> None:
    names = [
        "event_date",
        "event_timestamp",
        "event_name",
        "user_pseudo_id",
        "ga_session_id",
        "search_term",
        "item_id",
        "item_list_index",
    ]
    at = 1778407200000000
    rows = [["20260510", at, "view_search_results", "1.2", 9, "lamp", "", ""]]
    rows += [["20260510", at + 1000000, "view_item_list", "1.2", 9, "", item, n] for n, item in enumerate("abc")]
    rows += [["20260510", at + 5000000, "select_item", "1.2", 9, "", "b", 1]]
    file = tmp_path / "ga4.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([names, *rows])
    shop = own_shop(tmp_path, file)
    assert [row["shown"] for row in shop.rows("requests")] == [3]
    assert told(shop) == {("click", "b", "lamp")}


@pytest.mark.parametrize(
    ("times", "read"),
    [
        (["05/13/2026 02:00 PM", "05/01/2026 11:00 AM"], ["2026-05-13T14:00", "2026-05-01T11:00"]),
        (["13/05/2026 14:00", "01/05/2026 11:00"], ["2026-05-13T14:00", "2026-05-01T11:00"]),
        (["05/01/2026 02:00 PM"], ["2026-05-01T14:00"]),
        (["05/01/2026 14:00"], []),
    ],
)
def test_days_and_months_with_slashes(tmp_path: Path, times: list[str], read: list[str]) -> None:
    rows: list[Row] = [
        {"Date/Time": time, "Search Keywords": f"lamp {n}", "Customer ID": "7"} for n, time in enumerate(times)
    ]
    imported = imported_of(tmp_path, lines(tmp_path, "x.ndjson", rows))
    assert [str(day) for day in imported.written.days] == sorted(time[:10] for time in read)
    assert any("has the day or the month first" in note for note in imported.notes) == (not read)


def test_epochs_as_texts_and_times_with_a_zone_are_the_same_moment(tmp_path: Path) -> None:
    rows = [
        {"ts": "1778407200000", "uid": 5, "searchQuery": "lamp", "hits": "a,b", "evt": None},
        {"ts": "2026-05-10T12:00:10+02:00", "uid": 5, "searchQuery": "lamp", "pid": "b", "evt": "click"},
    ]
    shop = own_shop(tmp_path, lines(tmp_path, "x.ndjson", rows))
    assert told(shop) == {("click", "b", "lamp")}
    (request,), (click,) = shop.rows("requests"), shop.rows("events")
    assert (click["time"] - request["time"]).total_seconds() == 10


def test_a_report_by_day_is_told(tmp_path: Path) -> None:
    rows = [{"date": "2026-05-10", "search_terms": text, "visitors": 12} for text in ("lamp", "sofa")]
    (note,) = [n for n in imported_of(tmp_path, lines(tmp_path, "x.ndjson", rows)).notes if "midnight" in n]
    assert "is no log" in note
    timed = [{"time": clock(9), "search_terms": text} for text in ("lamp", "sofa")]
    assert not any("midnight" in note for note in imported_of(tmp_path / "2", lines(tmp_path, "y.ndjson", timed)).notes)


def test_rows_inside_of_visits_are_told(tmp_path: Path) -> None:
    visit = {
        "visitorId": "v",
        "actionDetails": [{"type": "search", "siteSearchKeyword": "lamp", "timestamp": 1778407200}],
    }
    file = tmp_path / "matomo.json"
    file.write_text(json.dumps([visit]))
    with pytest.raises(
        AdapterError, match="actionDetails is a list of objects that have timestamp: each of them is a row"
    ):
        imported_of(tmp_path, file)


@pytest.mark.parametrize("name", ["Date/Time", "date_time", "dateTime", "DATE-TIME", "Dâte Time"])
def test_names_are_compared_without_case_accents_and_marks(name: str) -> None:
    assert spelling(name) == "datetime"
