"""``transformers``, quiet: no progress bars, no advice, nothing sent home."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def transformers() -> Any:
    """The library, imported when first asked for: it takes seconds, and serving does without it."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import transformers as library

    logging: Any = library.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return library
