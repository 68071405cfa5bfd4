"""The terminal of the command line: what a catalogue or a log says is text there, and no command to the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.segment import Segment

CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}
"""C0, DEL and C1: titles and queries with escape sequences would else move the cursor, or set the window's title."""


class PlainConsole(Console):
    """A console that leaves control characters out of what it prints; its own styles stay."""

    def render(self, *args: Any, **options: Any) -> Iterator[Segment]:
        """See Console."""
        for text, style, control in super().render(*args, **options):
            yield Segment(text if control else text.translate(CONTROLS), style, control)
