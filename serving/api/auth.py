"""Who may ask: the API key, and where the server listens without one."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress

from pydantic import SecretStr

from infra.settings import ApiSettings

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
"""Names by which a server on loopback is asked; another in ``Host`` is a page that had its own name point here."""


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
    if settings.key is None and not settings.allow_open and not is_loopback(settings.host):
        raise OpenToOthersError(
            f"api.host is {settings.host}, which others reach, and there is no api.key: set SHELFWISE_API__KEY, or"
            " SHELFWISE_API__ALLOW_OPEN=true where something in front of it checks who asks"
        )


def holds_key(authorization: bytes, key: SecretStr) -> bool:
    """Whether an ``Authorization`` header carries the key. Takes the same time whatever it carries."""
    scheme, _, given = authorization.partition(b" ")
    # Digests have one length, so that not even the key's length shows.
    digests = [hashlib.sha256(text).digest() for text in (given.strip(), key.get_secret_value().encode())]
    return hmac.compare_digest(*digests) and scheme.lower() == b"bearer"
