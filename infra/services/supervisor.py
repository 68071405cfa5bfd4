"""One server per data folder, shared by whatever processes need it.

Three kernel locks lie in the folder and carry the whole protocol, so that no crash can leave it in a wrong state:

- ``start.lock``: held alone while somebody starts or stops the server;
- ``server.lock``: held alone by the server itself, which inherits it: held means alive;
- ``users.lock``: held shared by every process that uses the server. Who gets it alone on the way out was the last user
  and stops the server. It is only taken under ``start.lock``, so nobody joins a server that is being stopped.

A server runs in its own session: a Ctrl-C or the death of the process that started it does not end it for the others.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from infra.services import locks

START_SECONDS = 60.0
STOP_SECONDS = 20.0
LOG_TAIL_LINES = 20


class ServiceError(RuntimeError):
    """An embedded service cannot be started, reached or stopped; the message says what to do."""


@dataclass(frozen=True)
class Running:
    """A server that answers: its process and how to reach it."""

    pid: int
    address: str


class Server(Protocol):
    """What the supervisor needs to know of a kind of server."""

    name: str
    folder: Path
    """Holds the server's data, log and locks."""

    def command(self) -> list[str]:
        """Prepare a start and return the command line. Raises ServiceError where the program is not installed."""

    def probe(self) -> Running | None:
        """The server if it answers, within a fraction of a second; None if it does not."""

    def last_pid(self) -> int | None:
        """Process id of a server that does not answer, as last written down and checked to be its own."""


_guard = threading.RLock()
_leases: dict[Path, tuple[Server, int]] = {}
_children: list[subprocess.Popen[bytes]] = []
_hooked = False


def ensure(server: Server) -> Running:
    """The running server, started if need be; this process counts as a user until it ends.

    Safe to call from any number of processes and threads, and cheap when the server is up.
    Raises ServiceError with the end of the server's log when it does not come up.
    """
    with _guard:
        if server.folder in _leases and (running := server.probe()):
            return running
        server.folder.mkdir(parents=True, exist_ok=True)
        with locks.mutex(server.folder / "start.lock"):
            _join(server)
            return server.probe() or _start(server)


def stop(server: Server) -> bool:
    """Stop the server whoever uses it; data is kept. Returns whether there was one to stop."""
    if not server.folder.exists():
        return False
    with _guard, locks.mutex(server.folder / "start.lock"):
        return _stop(server)


def is_running(server: Server) -> bool:
    """Whether the server's process lives (it may not answer yet)."""
    return locks.is_held(server.folder / "server.lock")


def is_used(server: Server) -> bool:
    """Whether any process, this one included, holds the server in use."""
    return locks.is_held(server.folder / "users.lock")


def log_tail(server: Server) -> str:
    """The last lines of the server's log."""
    log = server.folder / "server.log"
    if not log.exists():
        return ""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:])


def leave_all() -> None:
    """Give up this process's use of every server; the last user of a server stops it. Runs at exit by itself."""
    with _guard:
        for server, lease in list(_leases.values()):
            del _leases[server.folder]
            if not server.folder.exists():
                os.close(lease)
                continue
            with locks.mutex(server.folder / "start.lock"):
                try:
                    # A shared lock is turned into one held alone: this fails as long as there is another user.
                    if locks.take_exclusive(lease):
                        _stop(server)
                finally:
                    os.close(lease)


def _join(server: Server) -> None:
    global _hooked  # noqa: PLW0603 - the hooks belong to the process
    if server.folder in _leases:
        return
    if not _hooked:
        atexit.register(leave_all)
        os.register_at_fork(after_in_child=_forget)
        _hooked = True
    lease = locks.open_lock(server.folder / "users.lock")
    locks.take_shared(lease)
    _leases[server.folder] = (server, lease)


def _forget() -> None:
    """In a forked child: drop the parent's leases without unlocking them; the child takes its own when it needs one."""
    global _guard  # noqa: PLW0603 - a lock that another thread held at the fork would stay locked for ever
    _guard = threading.RLock()
    for _, lease in _leases.values():
        os.close(lease)
    _leases.clear()
    _children.clear()


def _start(server: Server) -> Running:
    held = locks.open_lock(server.folder / "server.lock")
    try:
        # A server without an answer may be starting (its starter was killed) or on its way out: both pass.
        deadline = time.monotonic() + START_SECONDS
        while not locks.take_exclusive(held):
            if running := server.probe():
                return running
            if time.monotonic() >= deadline:
                raise ServiceError(
                    f"The embedded {server.name} (process {server.last_pid()}) runs but does not answer. "
                    f"Stop it with `shelfwise down` and try again.\n{log_tail(server)}"
                )
            time.sleep(0.02)
        with (server.folder / "server.log").open("ab") as log:
            child = subprocess.Popen(
                server.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(held,),
                start_new_session=True,
            )
        _children.append(child)
    finally:
        os.close(held)
    return _await(server, child, deadline)


def _await(server: Server, child: subprocess.Popen[bytes], deadline: float) -> Running:
    while time.monotonic() < deadline:
        if running := server.probe():
            return running
        if child.poll() is not None:
            raise ServiceError(
                f"The embedded {server.name} ended while starting (exit status {child.returncode}). "
                f"The end of its log, {server.folder / 'server.log'}:\n{log_tail(server)}"
            )
        time.sleep(0.01)
    child.kill()
    child.wait()
    raise ServiceError(
        f"The embedded {server.name} did not answer within {START_SECONDS:.0f} s. "
        f"The end of its log, {server.folder / 'server.log'}:\n{log_tail(server)}"
    )


def _stop(server: Server) -> bool:
    if not is_running(server):
        return False
    running = server.probe()
    pid = running.pid if running else server.last_pid()
    if pid is None:
        raise ServiceError(
            f"The embedded {server.name} runs on {server.folder} but its process is not known. "
            f"Find it with `lsof {server.folder / 'server.lock'}` and end it."
        )
    for sign, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            break
        if _ended(server, seconds):
            break
    _reap()
    if is_running(server):
        raise ServiceError(f"The embedded {server.name} (process {pid}) did not stop.")
    return True


def _ended(server: Server, seconds: float) -> bool:
    descriptor = locks.open_lock(server.folder / "server.lock")
    try:
        return locks.take_exclusive(descriptor, seconds)
    finally:
        os.close(descriptor)


def _reap() -> None:
    _children[:] = [child for child in _children if child.poll() is None]


def started_at(pid: int) -> float | None:
    """When a process was started, or None if there is no such process; tells a process from a later one of its id."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
