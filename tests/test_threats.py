"""What somebody who means harm can try, tried: docs/threat-model.md says what holds each."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import subprocess
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load_file, save_file
from starlette.testclient import TestClient

from orchestration.plain_console import PlainConsole
from orchestration.report import print_side_by_side
from orchestration.samples import SideBySide
from serving.api.app import create_app
from serving.index import promote, push
from tests.serving import small_shop
from tests.serving.api.conftest import LOCAL, OPEN, wait_until_ready, with_api
from tests.serving.api.test_server import answers, server
from tests.serving.small_shop import Shop, make_shop
from tests.serving.test_retriever import wait_for
from training.release.manifest import ReleaseError, verify_release

ROOT = Path(__file__).parent.parent
MARKUP = "<img src=x onerror=\"document.title='HARMED'\"><script>document.title='HARMED'</script>"
KEYS = {"page": {"key": "of the page", "scopes": ["search"]}}


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A live release every title and brand of which is markup with a script in it."""
    catalog = small_shop.make_catalog

    def with_markup(items: int) -> pa.Table:
        table = catalog(items)
        for name in ("title", "brand"):
            texts = pa.array([f"{MARKUP} {text}" for text in table[name].to_pylist()])
            table = table.set_column(table.schema.get_field_index(name), name, texts)
        return table

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(small_shop, "make_catalog", with_markup)
        shop = make_shop(tmp_path_factory.mktemp("poisoned"), items=50, api=OPEN)
    release = shop.release()
    push(shop.settings, release)
    promote(shop.settings, release.id)
    return shop


@pytest.mark.server
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here: Debian has it")
def test_markup_in_titles_is_text_on_the_page(poisoned: Shop, tmp_path: Path) -> None:
    with server(poisoned) as (_, url):
        wait_for(lambda: answers(f"{url}/readyz"), 120)
        page = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
        page += ["--virtual-time-budget=15000", "--dump-dom", f"{url}/#q=shoes"]
        dom = subprocess.run(page, capture_output=True, text=True, timeout=120, check=True).stdout
    assert dom.count("&lt;img src=x onerror=") >= 5, "the hits are there, as text"
    assert "<img src=x" not in dom and "<script>document" not in dom
    title = re.search(r"<title>(.*?)</title>", dom)
    assert title and "HARMED" not in title[1]


async def asked(app: Any, path: str, **headers: str) -> int:
    """The status of a GET whose path is sent as it stands, which clients would tidy up."""
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    given = [(name.encode(), value.encode()) for name, value in {"host": "127.0.0.1", **headers}.items()]
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
    }
    rest = {
        "headers": given,
        "client": ("10.0.0.9", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "http_version": "1.1",
    }
    await app(scope | rest, receive, send)
    return statuses[0]


@pytest.mark.parametrize(
    "path",
    [
        "/page/../metrics", "/page//../metrics", "/page/../app.py", "/page/../../../../../../../etc/passwd",
        "//metrics", "/metrics/", "/page/%2e%2e/app.py", "/METRICS", "/page/..\\app.py", "/page/\x00", "/search;/page/",
    ],
)  # fmt: skip
def test_no_spelling_of_a_path_gets_past_the_key(poisoned: Shop, path: str) -> None:
    app = create_app(with_api(poisoned.settings, key="secret"))
    assert asyncio.run(asked(app, path)) in {401, 404, 405}


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "bearer secre", "Basic c2VjcmV0", "Bearer secret2", "secret", "Bearer \u00ff"],
)
def test_nearly_a_key_is_no_key(poisoned: Shop, authorization: str) -> None:
    app = create_app(with_api(poisoned.settings, key="secret"))
    assert asyncio.run(asked(app, "/metrics", authorization=authorization)) == 401


def test_a_key_for_searching_changes_nothing(poisoned: Shop) -> None:
    with TestClient(create_app(with_api(poisoned.settings, keys=KEYS)), base_url=LOCAL) as client:
        wait_until_ready(client)
        key = {"Authorization": "Bearer of the page"}
        assert client.post("/search", json={"query": "shoes"}, headers=key).status_code == 200
        rows = [{"item_id": "i1", "removed": True}]
        asked_for = [
            ("POST", "/items", {"items": rows}),
            ("POST", "/events", {"user": "u1", "action": "click", "item_id": "i1"}),
        ]
        for method, path, body in asked_for:
            assert client.request(method, path, json=body, headers=key).status_code == 403
        assert client.get("/metrics", headers=key).status_code == 403


@pytest.mark.parametrize("text", ["\x1b]0;harmed\x07", "\x1b[2J\x1b[31m", "\x9b31m", "\x08\x08\r"])
def test_escape_sequences_of_titles_and_queries_do_not_reach_the_terminal(text: str) -> None:
    console = PlainConsole(file=StringIO(), width=60, force_terminal=True, color_system="standard")
    print_side_by_side(console, SideBySide(f"query {text}", [(f"u{text}", "h")], [[f"a lamp{text}"]]))
    assert isinstance(console.file, StringIO)
    said = console.file.getvalue()
    assert "a lamp" in said and "query" in said
    ours = re.sub(r"\x1b\[[0-9;]*m", "", said)  # the table's own styles
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", ours)
    assert "\x1b[31m" not in said


@pytest.fixture
def copied(poisoned: Shop, tmp_path: Path) -> Path:
    """The release, to be harmed."""
    (release,) = [path for path in poisoned.settings.paths.releases.iterdir() if (path / "manifest.json").exists()]
    return Path(shutil.copytree(release, tmp_path / release.name))


def test_a_release_whose_weights_were_changed_does_not_load(copied: Path) -> None:
    verify_release(copied)
    weights = load_file(copied / "model.safetensors")
    harmed = {name: np.asarray(values * 2) for name, values in weights.items()}
    save_file(harmed, copied / "model.safetensors")
    with pytest.raises(ReleaseError, match=r"model\.safetensors"):
        verify_release(copied)


def test_a_manifest_names_no_file_outside_its_release(copied: Path) -> None:
    outside = copied.parent / "outside.json"
    outside.write_text("{}", encoding="utf-8")
    manifest = json.loads((copied / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["../outside.json"] = hashlib.sha256(b"{}").hexdigest()
    (copied / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ReleaseError):
        verify_release(copied)


def test_a_release_holds_nothing_that_is_code(copied: Path) -> None:
    kinds = {file.suffix for file in copied.rglob("*") if file.is_file()}
    assert kinds <= {".json", ".safetensors", ".parquet", ".md", ".npy"}, kinds


def test_nothing_of_ours_unpickles() -> None:
    rooms = ("infra", "features", "training", "serving", "orchestration", "demoshop")
    found = [
        f"{file.relative_to(ROOT)}: {called}"
        for room in rooms
        for file in (ROOT / room).rglob("*.py")
        for called in re.findall(
            r"\b(?:pickle|cPickle|joblib|shelve|marshal)\.\w+|torch\.load\([^)]*|allow_pickle=True|yaml\.(?:unsafe_)?load\(",
            file.read_text(encoding="utf-8"),
        )
        if "weights_only=True" not in called and file != ROOT / "serving/api/frames.py"  # between our own processes
    ]
    assert found == []
