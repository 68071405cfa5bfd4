"""``python -m serving.api``: the HTTP API and the search page of the shop that the settings name."""

from __future__ import annotations

import sys

from infra.telemetry import silence
from infra.threads import wait_quietly


def main() -> None:
    """Serve; what a user can mend is said in a sentence."""
    silence()
    wait_quietly()
    from infra.settings import get_settings
    from serving.api.auth import KeyFileError, OpenToOthersError
    from serving.api.server import serve
    from serving.ubi_log import UbiLogError

    try:
        serve(get_settings())
    except (KeyFileError, OpenToOthersError, UbiLogError) as error:
        sys.exit(f"Error {error}")


if __name__ == "__main__":
    main()
