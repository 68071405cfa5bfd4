"""Data Docs stand alone, do not grow without bound, and say what failed; nothing is sent home."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from features.quality import SuiteResult, as_markdown, check_catalog, check_features, check_training_set
from features.quality.rules import Absent, AtLeast, Between, Suite
from features.quality.validation import validate
from infra.contract.partitions import partition_file
from infra.settings import CheckSettings, Settings
from tests.features.quality.quality_shop import DAYS, LAST, change, check_day, put, write_report, write_shop

pytestmark = pytest.mark.slow

LOADING = {"script", "link", "img", "iframe", "object", "embed", "source", "video", "audio", "base", "form"}


class Page(HTMLParser):
    """What a page loads, where it leads, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in LOADING:
            self.loads.append(tag)
        if any(name.startswith("on") or "url(" in (value or "") for name, value in attrs):
            self.loads.append(f"{tag} {given}")
        if tag == "a":
            self.links.append(given["href"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[SuiteResult]]:
    """A shop with a broken day, judged by every suite."""
    shop = Settings(home=tmp_path_factory.mktemp("checked"), shop="tiny")
    write_shop(shop)
    change(partition_file(shop.paths.sessions / "events", LAST), put(action="hover"))
    write_report(shop, LAST, held=True, reasons={"no_time <b>": 9}, kept_previous=True)
    results = [
        check_day(shop, LAST),
        check_features(shop, DAYS),
        check_training_set(shop),
        check_catalog(shop),
    ]
    return shop, results


def test_every_page_stands_alone(checked: tuple[Settings, list[SuiteResult]]) -> None:
    settings, results = checked
    site = settings.paths.data_docs
    pages = sorted(site.rglob("*.html"))
    assert {site / result.data_docs for result in results} | {site / "index.html"} == set(pages)
    for path in pages:
        page, source = Page(path), path.read_text(encoding="utf-8")
        assert page.loads == []
        assert "http://" not in source
        assert "https://" not in source
        assert "@import" not in source
        assert "url(" not in source
        assert page.links
        for link in page.links:
            assert (path.parent / unquote(link)).resolve() in pages


def test_a_page_says_what_failed_with_which_figures(checked: tuple[Settings, list[SuiteResult]]) -> None:
    settings, (result, *_) = checked
    page = Page(settings.paths.data_docs / result.data_docs)
    assert "sessions: failed" in " ".join(page.text.split())
    assert "no_time <b> 9" in page.text
    failed = next(o for o in result.failed if o.column == "held")
    assert failed.rule in page.text
    assert failed.rows == (LAST.isoformat(),)


def test_the_index_lists_each_validation(checked: tuple[Settings, list[SuiteResult]]) -> None:
    text = Page(checked[0].paths.data_docs / "index.html").text
    assert [text.count(name) for name in ("sessions", "features", "training_set", "catalog")] == [1, 1, 1, 2]


def test_markdown_shows_broken_rules_first(checked: tuple[Settings, list[SuiteResult]]) -> None:
    lines = as_markdown(checked[1][0]).splitlines()
    assert lines[4].startswith("| **FAILED** |")
    assert lines[-1].startswith("| ok |")
    assert all(line.count(" | ") == 3 for line in lines[4:])


def test_only_the_latest_validations_are_kept(shop: Settings) -> None:
    settings = shop.model_copy(update={"checks": CheckSettings(kept_validations=2)})
    check_day(settings, DAYS[0])
    kept = [check_catalog(settings).data_docs for _ in range(3)][1:]
    pages = sorted(settings.paths.data_docs.glob("validations/catalog/**/*.html"))
    assert pages == sorted(settings.paths.data_docs / page for page in kept)
    assert len(list(settings.paths.data_docs.glob("validations/sessions/**/*.html"))) == 1


def test_the_index_says_when_a_day_was_judged(shop: Settings) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    check_day(shop, DAYS[0])
    check_day(shop, DAYS[1])
    text = Page(shop.paths.data_docs / "index.html").text
    first, second = (datetime.fromisoformat(t + "+00:00") for t in re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", text))
    assert before <= second <= first <= datetime.now(UTC)
    assert text.index(DAYS[1].isoformat()) < text.index(DAYS[0].isoformat())


def test_an_exception_inside_the_library_is_a_broken_rule(shop: Settings) -> None:
    frame = pd.DataFrame({"day": ["a", "b"], "word": ["x", "y"], "n": [1, 2]})
    rules = (Between("word", "Words in bounds", high=3), Absent("gone", "Nothing gone"), AtLeast("n", "n", "Same"))
    result = validate(shop, Suite("odd", "day", rules), frame, "two rows")
    word, gone, same = result.outcomes
    assert not result.success
    assert (word.success, gone.success, same.success) == (False, False, True)
    assert word.error
    assert gone.error
    assert "gone" in gone.error
    assert gone.observed == "not judged"
    assert "error: " in as_markdown(result)
    page = Page(shop.paths.data_docs / result.data_docs).text
    assert "error while it was judged" in page
    assert gone.error in page


def test_nothing_to_judge_is_an_error(shop: Settings) -> None:
    with pytest.raises(ValueError, match="nothing to judge"):
        validate(shop, Suite("empty", "day", ()), pd.DataFrame({"day": []}), "none")


SILENT_RUN = """
import sys
reached = []
OUTWARD = {"socket.connect", "socket.getaddrinfo", "socket.sendto"}
sys.addaudithook(lambda name, args: reached.append((name, args)) if name in OUTWARD else None)
from features import quality
assert "great_expectations" not in sys.modules, "importing the checks loads Great Expectations"
from pathlib import Path
from infra.settings import Settings
assert quality.check_catalog(Settings(home=Path(sys.argv[1]), shop="tiny")).success
import os
assert os.environ["GX_ANALYTICS_ENABLED"] == "false"
assert reached == [], reached
"""


def test_nothing_is_sent_home(shop: Settings) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SILENT_RUN, str(shop.home)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
