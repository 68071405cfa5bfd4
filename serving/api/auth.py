"""Who may ask: the API keys and their scopes, and where the server listens without one."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import time
from collections.abc import Callable
from pathlib import Path

from infra.settings import ApiSettings
from infra.settings.api import ALL_SCOPES, Scope

log = logging.getLogger(__name__)
LOOK_EVERY_S = 1.0
"""Between two looks at the files of keys."""

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
"""Names by which a server on loopback is asked; another in ``Host`` is a page that had its own name point here."""


class KeyFileError(ValueError):
    """A file of API keys that cannot be used."""


class OpenToOthersError(ValueError):
    """Settings that would serve everybody who reaches the machine."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(settings: ApiSettings) -> None:
    """Refuse to listen beyond loopback without a key.

    Raises:
        OpenToOthersError: says which settings to set.
    """
    if not settings.has_key and not settings.allow_open and not is_loopback(settings.host):
        raise OpenToOthersError(
            f"api.host is {settings.host}, which others reach, and there is no api.key: set SHELFWISE_API__KEY"
            " (or SHELFWISE_API__KEY_FILE), or SHELFWISE_API__ALLOW_OPEN=true where something in front of it checks who"
            " asks"
        )


class Keys:
    """The keys in force, those of files as the files are now. For one event loop."""

    def __init__(self, settings: ApiSettings, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises KeyFileError where a file cannot be read, or has no key in it."""
        self._clock = clock
        given = [("key", settings.key, settings.key_file, ALL_SCOPES)]
        given += [(name, one.key, one.key_file, one.scopes) for name, one in settings.keys.items()]
        self._set = [
            (_digest(key.get_secret_value().encode()), name, scopes)
            for name, key, _, scopes in given
            if key is not None
        ]
        self._files = [(file, name, scopes) for name, _, file, scopes in given if file is not None]
        self._stamps: dict[Path, tuple[int, ...] | None] = {}
        self._problem: str | None = None
        self._look_at = 0.0
        self._read: list[tuple[bytes, str, frozenset[Scope]]] = []
        self._look()
        if self._problem:
            raise KeyFileError(self._problem)

    def scopes(self, authorization: bytes) -> tuple[str, frozenset[Scope]] | None:
        """Name and scopes of the key in an ``Authorization`` header; None of one that is none of ours.

        Takes the same time whatever the header carries: digests have one length, and each key is compared.
        """
        if self._files and self._clock() >= self._look_at:
            self._look()
        scheme, _, text = authorization.partition(b" ")
        asked = _digest(text.strip())
        same = [(name, scopes) for digest, name, scopes in self._set + self._read if hmac.compare_digest(asked, digest)]
        return same[0] if same and scheme.lower() == b"bearer" else None

    def _look(self) -> None:
        """Read files that changed. One that cannot be read has no key that counts: it may have been taken away."""
        self._look_at = self._clock() + LOOK_EVERY_S
        stamps = {file: _stamp(file) for file, _, _ in self._files}
        if stamps == self._stamps:
            return
        read, problem = [], None
        for file, name, scopes in self._files:
            try:
                lines = [line.strip() for line in file.read_bytes().splitlines()]
            except OSError as error:
                lines, problem = [], f"API key file {file} cannot be read: {error.strerror or error}"
            else:
                problem = problem if any(lines) else f"API key file {file} has no key in it: write one a line"
            read += [(_digest(line), name, scopes) for line in lines if line]
        self._read, self._stamps, self._problem = read, stamps, problem
        if problem:
            log.warning("%s; nobody is let in by it", problem)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
