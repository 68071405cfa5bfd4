"""Generated pages are as the code has it, and every path that a page names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.generate import HERE, PAGES
from docs.pipeline_picture import picture

ROOT = HERE.parent
PROSE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(HERE.rglob("*.md"))]


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_the_committed_one(name: str) -> None:
    assert (HERE / name).read_text(encoding="utf-8") == PAGES[name](), "run: python -m docs.generate"


def test_the_picture_is_the_committed_one() -> None:
    assert (HERE / "pipeline.svg").read_text(encoding="utf-8") == picture(), "run: python -m docs.pipeline_picture"


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    lost = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not lost


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:orchestration|features|training|serving|infra|demoshop|tests|benchmarks|examples)/[\w./-]*)`",
        page.read_text(encoding="utf-8"),
    )
    assert not [name for name in named if not (ROOT / name).exists()]


def test_names_that_contributing_names_are_in_their_files() -> None:
    named = re.findall(r"`(\w+)` in\s+`([\w/]+\.py)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(named) >= 12
    defined = r"^(?:def |class )?{}\b"
    lost = [
        (name, file)
        for name, file in named
        if not re.search(defined.format(name), (ROOT / file).read_text(encoding="utf-8"), re.M)
    ]
    assert not lost


def test_the_rooms_in_the_readme_exist() -> None:
    """Where a line of the map is indented, it names what lies in the room above it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"## Where things are\n+```\n(.*?)```", text, re.S)
    assert block is not None
    room, lost, seen = ROOT, [], 0
    for line in block[1].splitlines():
        names = re.findall(r"[\w./]+(?:\.py|\.yaml|/)(?=[\s,]|$)", re.split(r"\s{2,}", line.strip(), maxsplit=1)[0])
        base = room if line.startswith(" ") else ROOT
        lost += [str(base / name) for name in names if not (base / name).exists()]
        seen += len(names)
        if names and not line.startswith(" "):
            room = ROOT / names[0]
    assert seen > 20
    assert not lost
