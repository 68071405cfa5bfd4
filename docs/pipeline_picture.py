"""Draw docs/pipeline.svg: ``python -m docs.pipeline_picture``. Plain SVG, so that it needs no tool and no network."""

from __future__ import annotations

from pathlib import Path

BOX_WIDTH, BOX_HEIGHT, ROW = 168, 52, 104
BOXES = {
    # name: (column, row, title, line below it)
    "logs": (0, 0, "UBI logs, catalogue", "by day, files or URL"),
    "sessions": (1, 0, "sessions", "screened, orders attributed"),
    "features": (2, 0, "features", "as of each moment (Feast)"),
    "training": (3, 0, "training set", "request, item, stage"),
    "towers": (4, 0, "two towers", "query + user; item"),
    "quarantine": (1, 1, "quarantine", "rows refused, with reasons"),
    "redis": (2, 1, "Redis", "users and queries online"),
    "release": (4, 1, "release", "immutable, hashed"),
    "gates": (3, 1, "gates", "against live and BM25"),
    "milvus": (3, 2, "Milvus", "items; alias = live"),
    "retrieve": (2, 2, "retrieve(user, query)", "API, search page, Python"),
    "record": (1, 2, "record(click)", "the current session"),
}
ARROWS = [
    ("logs", "sessions"), ("sessions", "features"), ("features", "training"), ("training", "towers"),
    ("sessions", "quarantine"), ("features", "redis"), ("towers", "release"), ("release", "gates"), ("gates", "milvus"),
    ("milvus", "retrieve"), ("redis", "retrieve"), ("retrieve", "record"), ("record", "redis"),
]  # fmt: skip


def corner(name: str) -> tuple[int, int]:
    column, row, *_ = BOXES[name]
    return 16 + column * (BOX_WIDTH + 34), 16 + row * ROW


def arrow(start: str, end: str) -> str:
    """A line between the sides of two boxes that face each other."""
    (x1, y1), (x2, y2) = corner(start), corner(end)
    middle = BOX_HEIGHT // 2
    if y1 == y2:
        right = x2 > x1
        points = (x1 + (BOX_WIDTH if right else 0), y1 + middle, x2 + (0 if right else BOX_WIDTH), y2 + middle)
    else:
        down = y2 > y1
        points = (
            x1 + BOX_WIDTH // 2, y1 + (BOX_HEIGHT if down else 0),
            x2 + BOX_WIDTH // 2, y2 + (0 if down else BOX_HEIGHT),
        )  # fmt: skip
    return '<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="#555" marker-end="url(#tip)"/>'.format(*points)


def picture() -> str:
    """The SVG's text."""
    width, height = 32 + 5 * BOX_WIDTH + 4 * 34, 32 + 2 * ROW + BOX_HEIGHT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" role="img">',
        "<title>The pipeline: logs to sessions, features, training set, towers, release, gates, index, answers</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        *(arrow(*ends) for ends in ARROWS),
    ]
    for name, (_, _, title, below) in BOXES.items():
        x, y = corner(name)
        centre = x + BOX_WIDTH // 2
        lines += [
            f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" fill="#eef3fb" stroke="#4a6fa5"/>',
            f'<text x="{centre}" y="{y + 22}" text-anchor="middle" font-size="14" fill="#111">{title}</text>',
            f'<text x="{centre}" y="{y + 40}" text-anchor="middle" font-size="11" fill="#444">{below}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("pipeline.svg").write_text(picture(), encoding="utf-8")
