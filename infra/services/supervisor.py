"""One server per data folder, shared by whatever processes need it.

Three kernel locks lie in the folder and carry the whole protocol, so that no crash can leave it in a wrong state:

- ``start.lock``: held alone while somebody starts or stops the server;
- ``server.lock``: held alone by the server itself, which inherits it: held means alive;
- ``users.lock``: held shared by every process that uses the server. Who gets it alone on the way out was the last user
  and stops the server. It is only taken under ``start.lock``, so nobody joins a server that is being stopped.

A server runs in its own session: a Ctrl-C or the death of the process that started it does not end it for the others.
Users that are killed stop nothing: a guard beside the server (``guard.lock`` held: there is one) stops it once nobody
has used it for ``UNUSED_SECONDS``.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.services import locks
from infra.services.processes import log_tail, send_signal

START_SECONDS = 60.0
STOP_SECONDS = 20.0
UNUSED_SECONDS = 30.0
"""How long a server whose users were all killed waits for another."""
GUARD = Path(__file__).with_name("guard.py")


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
_ending = False


def ensure(server: Server) -> Running:
    """The running server, started if need be; this process counts as a user until it ends.

    Safe to call from any number of processes and threads, and cheap when the server is up.
    Raises ServiceError with the end of the server's log when it does not come up.
    """
    if not locks.AVAILABLE:
        raise ServiceError(
            f"An embedded {server.name} needs the file locks of Linux or macOS, which this system does not have. Name "
            "servers by URL, SHELFWISE_ONLINE__REDIS_URL and SHELFWISE_INDEX__URI, or run Shelfwise in WSL."
        )
    with _guard:
        if server.folder in _leases and (running := server.probe()):
            return running
        server.folder.mkdir(parents=True, exist_ok=True)
        with locks.mutex(server.folder / "start.lock"):
            if _ending:
                raise ServiceError(f"This process is ending: it starts and uses no embedded {server.name} any more.")
            _join(server)
            running = server.probe() or _start(server)
            _guarded(server)
            return running


def stop(server: Server) -> bool:
    """Stop the server whoever uses it; data is kept. Returns whether there was one to stop."""
    if not server.folder.exists():
        return False
    with _guard, locks.mutex(server.folder / "start.lock"):
        return _stop(server)


def stop_unused(server: Server) -> bool:
    """Stop the server if no process holds it in use; data is kept. Returns whether it was stopped."""
    if not server.folder.exists():
        return False
    with _guard, locks.mutex(server.folder / "start.lock"):
        return not is_used(server) and _stop(server)


def is_running(server: Server) -> bool:
    """Whether the server's process lives (it may not answer yet)."""
    return locks.is_held(server.folder / "server.lock")


def is_used(server: Server) -> bool:
    """Whether any process, this one included, holds the server in use."""
    return locks.is_held(server.folder / "users.lock")


def leave_all() -> None:
    """Give up this process's use of every server; the last user of a server stops it. Runs at exit by itself.

    All are told to stop before one is waited for: who gives its processes some seconds to end, as a test runner does,
    would else kill this one with servers left. Raises ServiceError for what did not stop, when all were given up.
    """
    failed: list[str] = []
    with _guard, ExitStack() as held:
        stopping: list[tuple[Server, int]] = []
        for folder in sorted(_leases):  # in one order: two processes on their way out must not wait for each other
            server, lease = _leases.pop(folder)
            if folder.exists():
                held.enter_context(locks.mutex(folder / "start.lock"))
            held.callback(os.close, lease)
            # A shared lock is turned into one held alone: this fails as long as there is another user.
            if folder.exists() and locks.take_exclusive(lease):
                try:
                    if (pid := _tell_to_stop(server)) is not None:
                        stopping.append((server, pid))
                except ServiceError as error:
                    failed.append(str(error))
        for server, pid in stopping:
            try:
                _await_end(server, pid)
            except ServiceError as error:
                failed.append(str(error))
    if failed:
        raise ServiceError("\n".join(failed))


def _leave_at_exit() -> None:
    """As :func:`leave_all`; a thread that still runs and revives a server that it misses gets none any more."""
    global _ending  # noqa: PLW0603 - the process ends once
    _ending = True
    leave_all()


def _join(server: Server) -> None:
    global _hooked  # noqa: PLW0603 - the hooks belong to the process
    if server.folder in _leases:
        return
    if not _hooked:
        atexit.register(_leave_at_exit)
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
                    f"Stop it with `shelfwise down` and try again.\n{log_tail(server.folder)}"
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
                f"The end of its log, {server.folder / 'server.log'}:\n{log_tail(server.folder)}"
            )
        time.sleep(0.01)
    child.kill()
    child.wait()
    raise ServiceError(
        f"The embedded {server.name} did not answer within {START_SECONDS:.0f} s. "
        f"The end of its log, {server.folder / 'server.log'}:\n{log_tail(server.folder)}"
    )


def _guarded(server: Server) -> None:
    """See to it that a guard watches the server; called under ``start.lock``."""
    if locks.is_held(server.folder / "guard.lock"):
        return
    stop_it = f"from pathlib import Path; from {type(server).__module__} import {type(server).__name__} as Server; "
    stop_it += "from infra.services import supervisor; import sys; supervisor.stop_unused(Server(Path(sys.argv[1])))"
    command = [sys.executable, "-c", stop_it, str(server.folder)]
    with (server.folder / "server.log").open("ab") as log:
        child = subprocess.Popen(
            # -I and -S: its folder has modules with the names of libraries, and it needs no library.
            [sys.executable, "-I", "-S", str(GUARD), str(server.folder), str(UNUSED_SECONDS), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children.append(child)


def _stop(server: Server) -> bool:
    pid = _tell_to_stop(server)
    if pid is None:
        return False
    _await_end(server, pid)
    return True


def _tell_to_stop(server: Server) -> int | None:
    """Send SIGTERM; return to which process, or None where no server runs. Raises ServiceError if it is not known."""
    if not is_running(server):
        return None
    running = server.probe()
    pid = running.pid if running else server.last_pid()
    if pid is None:
        raise ServiceError(
            f"The embedded {server.name} runs on {server.folder} but its process is not known. "
            f"Find it with `lsof {server.folder / 'server.lock'}` and end it."
        )
    send_signal(pid, signal.SIGTERM)
    return pid


def _await_end(server: Server, pid: int) -> None:
    """Wait for a server that was told to stop; one that does not is killed. Raises ServiceError if that fails too."""
    if not _ended(server, STOP_SECONDS):
        send_signal(pid, signal.SIGKILL)
        _ended(server, STOP_SECONDS)
    _reap()
    if is_running(server):
        raise ServiceError(f"The embedded {server.name} (process {pid}) did not stop.")


def _ended(server: Server, seconds: float) -> bool:
    descriptor = locks.open_lock(server.folder / "server.lock")
    try:
        return locks.take_exclusive(descriptor, seconds)
    finally:
        os.close(descriptor)


def _reap() -> None:
    _children[:] = [child for child in _children if child.poll() is None]
