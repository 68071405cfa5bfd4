"""The README's commands are ones that there are, with options that they have, and its Python names what serving has."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

import serving
from docs.generate import HERE
from orchestration.cli import app

ROOT = HERE.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.S | re.M)
LINES = [line.split("  #")[0].strip() for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
MAKE = sorted({line.split()[1] for line in LINES if line.startswith("make ")})
SHELFWISE = [line for line in LINES if line.startswith(".venv/bin/shelfwise")]


def test_the_readme_has_commands() -> None:
    assert {"run", "serve", "test", "ui"} <= set(MAKE)
    assert len(SHELFWISE) >= 5


@pytest.mark.parametrize("target", MAKE)
def test_a_make_target_exists(target: str) -> None:
    made = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize("line", SHELFWISE)
def test_a_command_has_its_options(line: str) -> None:
    _, name, *arguments = shlex.split(line.replace("[", "").replace("]", ""))
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    command.make_context(name, arguments)  # a missing argument or an unknown option is a usage error


@pytest.mark.parametrize("block", [block for kind, block in BLOCKS if kind == "python"])
def test_python_names_what_serving_has(block: str) -> None:
    called = {
        node.attr
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "serving"
    }
    assert called
    assert called <= set(serving.__all__)


def test_make_help_lists_every_target() -> None:
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = set(re.findall(r"^make ([\w-]+)", said, re.M))
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert phony is not None
    assert listed == set(phony[1].split())


def test_the_readme_is_read_at_one_go() -> None:
    assert len(README.splitlines()) < 250


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda file: file.stem)
def test_an_example_is_run_by_a_test(example: Path) -> None:
    test = (ROOT / "tests" / "examples" / f"test_{example.name}").read_text(encoding="utf-8")
    assert f'"examples" / "{example.name}"' in test
    assert f"``python examples/{example.name}" in example.read_text(encoding="utf-8")
