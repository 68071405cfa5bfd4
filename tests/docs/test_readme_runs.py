"""The README's shell commands run, in their order, in a folder of their own on a small shop."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.docs.test_readme import README, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.server]

NOT_RUN = {
    "make test": "it is the suite that this test is of",
}
"""Commands that are not run here, each with the reason."""
SERVERS = {"make serve": "SHELFWISE_API__PORT", "make ui": "SHELFWISE_UI__PORT"}
"""Commands that serve until Ctrl-C, and the setting of their port."""
SMALL = {
    "SHELFWISE_DEMO__USERS": "150",
    "SHELFWISE_DEMO__ITEMS": "1300",
    "SHELFWISE_DEMO__DAYS": "6",
    "SHELFWISE_TRAINING__EPOCHS": "1",
    "SHELFWISE_TRAINING__LEAST_STEPS": "20",
    "SHELFWISE_TRAINING__BATCH_SIZE": "128",
    "SHELFWISE_TRAINING__BUCKETS": "8192",
    "SHELFWISE_TRAINING__TEXT_ENCODER": "none",
    "SHELFWISE_TRAINING__TEXT_IN_QUERY": "false",
    "SHELFWISE_TRAINING__QUALITY_PRIOR__TRIALS": "5",
    "SHELFWISE_INDEX__TUNING_TRIALS": "4",
}
SECOND_RELEASE = """
from orchestration.shop import candidate_dir, shop_settings
from training.evaluation import read_evaluation
from training.release.writer import write_release
settings = shop_settings()
index = settings.index.model_copy(update={"index_type": "FLAT"})
folder = candidate_dir(settings)
print(write_release(settings.model_copy(update={"index": index}), folder, read_evaluation(folder)))
"""
"""The candidate once more with another index: a release of another night, to promote and to roll back from."""


def commands() -> list[str]:
    """The lines of the shell blocks, continued ones joined, without what is said beside them."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.S | re.M)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [re.sub(r"\s{2,}#.*", "", line).strip() for line in lines if line.strip()]


class Place:
    """A virtual environment that is this one, a home for shops, and free ports."""

    def __init__(self, folder: Path) -> None:
        self.home, self.logs, self.venv = folder / "home", folder / "logs", folder / "venv"
        self.ports = {setting: free_port() for setting in (*SERVERS.values(), "SHELFWISE_UI__DOCS_PORT")}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SHELFWISE_")}
        ports = {setting: str(port) for setting, port in self.ports.items()}
        home = {"SHELFWISE_HOME": str(self.home), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        self.environment = clean | SMALL | ports | home
        (self.venv / "bin").mkdir(parents=True)
        for name, module in (("python", ""), ("shelfwise", " -m orchestration.cli")):
            program = self.venv / "bin" / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable}{module} "$@"\n')
            program.chmod(0o755)
        (self.venv / ".run").touch()

    def here(self, command: str) -> str:
        """A command as it is typed here."""
        command = command.replace("make ", f"make VENV={self.venv} ").replace(".venv/bin/", f"{self.venv}/bin/")
        command = command.replace("localhost:8000", f"localhost:{self.ports['SHELFWISE_API__PORT']}")
        command = command.replace("curl -s ", "curl -s --fail-with-body ").replace("[--force]", "--force")
        command = command.replace("YOUR_USER", "u000001").replace("LOGS", str(self.logs))
        return command.replace(" ID ", f" {self.newest_release()} ") if " ID " in command else command

    def newest_release(self) -> str:
        return max((self.home / "demo" / "releases").glob("[0-9a-f]*"), key=lambda folder: folder.stat().st_ctime).name

    def run(self, command: str, **changes: str) -> str:
        ran = subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env=self.environment | changes,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    @contextmanager
    def served(self, command: str, port: int) -> Iterator[None]:
        """Run a command that serves, from when it answers on."""
        # A suite that a script runs in its background ignores Ctrl-C, and so would the command.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(["bash", "-c", command], cwd=ROOT, env=self.environment, start_new_session=True)
        try:
            until = time.monotonic() + 90
            while not answers(port):
                assert process.poll() is None and time.monotonic() < until, f"{command} does not answer"
                time.sleep(0.2)
            yield
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=60)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_commands_of_the_readme_run(place: Place) -> None:
    listed = commands()
    assert NOT_RUN.keys() <= set(listed)
    with ExitStack() as serving:
        for command in listed:
            if command in NOT_RUN:
                continue
            prepare(place, command)
            if command in SERVERS:
                serving.enter_context(place.served(place.here(command), place.ports[SERVERS[command]]))
            else:
                said = place.run(place.here(command))
                assert not command.startswith("curl ") or said.startswith("{")
    assert not any(answers(port) for port in place.ports.values())


def prepare(place: Place, command: str) -> None:
    """What a reader has by the time of a command: logs of their own, and a release of another night."""
    if "LOGS" in command and not place.logs.exists():
        shutil.copytree(place.home / "demo" / "landing", place.logs, ignore=shutil.ignore_patterns("_demo.json"))
    if " ID " in command:
        place.run(f"{place.venv}/bin/python -c '{SECOND_RELEASE}'")
