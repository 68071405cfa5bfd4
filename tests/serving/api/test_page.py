"""The search page in a browser: a link to a result."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import pytest

from serving.retrieval import NOTHING_TO_SEARCH
from tests.serving.api.test_server import answers, server
from tests.serving.small_shop import Shop
from tests.serving.test_retriever import wait_for

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here: Debian has it"),
]


def shown(page: str, profile: Path) -> str:
    """What a browser makes of a page."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    command += ["--virtual-time-budget=15000", "--dump-dom", page]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_a_link_to_a_result_shows_it(shop: Shop, tmp_path: Path) -> None:
    asked = urlencode({"q": "red shoes", "user": "u1", "filters": '{"brand": "Acme"}'})
    with server(shop) as (_, url):
        wait_for(lambda: answers(f"{url}/readyz"), 120)
        for link in (f"{url}/?{asked}", f"{url}/#{asked}"):
            page = shown(link, tmp_path)
            assert "For u1" in page and "For anyone" in page and "Acme" in page
            assert re.search(r"<h3>[^<]*shoes", page), link
        assert NOTHING_TO_SEARCH in shown(f"{url}/?query=--", tmp_path)
        assert "red shoes" not in shown(f"{url}/", tmp_path), "nothing was asked"
