"""Write the generated pages: ``python -m docs.generate``. A test holds the committed ones to what this writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docs.adapters_page import adapters_page
from docs.asset_graph import asset_page
from docs.settings_page import settings_page

HERE = Path(__file__).parent
PAGES: dict[str, Callable[[], str]] = {
    "adapters.md": adapters_page,
    "reference/settings.md": settings_page,
    "reference/assets.md": asset_page,
}


def main() -> None:
    """Write each page where its text changed."""
    for name, make in PAGES.items():
        file, text = HERE / name, make()
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
