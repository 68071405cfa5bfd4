"""The rows of the papers' tables, as settings on top of a recipe.

Where a paper names a row without its settings, they are ours: Base, Large vocabulary, and which objective a row without
one of the others falls back on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.settings import TrainingSettings
from training.evaluation import BASELINES as BASELINE_METHODS
from training.evaluation import BOOSTED

TOWERS = "towers"
NOT_PERSONALIZED = "towers, not personalized"
HYBRID = "hybrid"
PROPOSED = "towers, boosted as proposed"
"""The weights that the search for them found, whether or not they were confirmed."""
THREADS = 1
BASELINES = "baselines"


@dataclass(frozen=True)
class Row:
    """A model to train and measure: ``changes`` on top of ``recipe``."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    recipe: str = "shelfwise"
    is_boosted: bool = False
    """The weights of quality boosting are searched for as well."""
    is_trained: bool = True

    def settings(self, seed: int, changes: Mapping[str, Any]) -> TrainingSettings:
        """The settings of a run; ``changes`` are those of all rows, under the row's own."""
        fixed = {"recipe": self.recipe, "seed": seed, "threads": THREADS}
        return TrainingSettings.model_validate({**fixed, **changes, **self.changes})


@dataclass(frozen=True)
class Line:
    """A line of a table: what ``method`` finds with the model of ``row``."""

    label: str
    row: str
    method: str = TOWERS


@dataclass(frozen=True)
class Table:
    """Lines that are compared with the one that is named ``reference``."""

    key: str
    title: str
    reference: str
    lines: tuple[Line, ...]

    @property
    def rows(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(line.row for line in self.lines))


NO_NEGATIVES: dict[str, Any] = {source: (0.0, 0.0) for source in ("in_batch", "uniform", "hard_in_batch", "dynamic")}
IN_BATCH_UNIFORM = NO_NEGATIVES | {"in_batch": (1.0, 1.0), "uniform": (1.0, 1.0)}
OBJECTIVES = tuple(name for name in TrainingSettings.model_fields if name.startswith("weight_"))
FOUR = {"click": 1.0, "unclicked": 0.2, "click_over_unclicked": 1.0, "order_over_unclicked": 1.0}


def objectives(**weights: float) -> dict[str, float]:
    """The weights of all objectives: those not named are off."""
    return dict.fromkeys(OBJECTIVES, 0.0) | {f"weight_{name}": weight for name, weight in weights.items()}


def four_without(*left_out: str) -> dict[str, float]:
    """MMSE's four objectives but for some."""
    return objectives(**{name: weight for name, weight in FOUR.items() if name not in left_out})


BASE: dict[str, Any] = {
    "text_encoder": "none", "text_in_query": False, "graph": False, "scalars": False, "location": False,
    "history": "none", "shared_taste": False, "shared_words": False, "fields": ("title",), "ngrams": ("words",),
} | objectives(click=1.0) | IN_BATCH_UNIFORM  # fmt: skip
LARGE_VOCABULARY = BASE | {"fields": ("title", "attribute_words"), "ngrams": ("words", "pairs", "trigrams")}
NO_TEXT: dict[str, Any] = {"text_encoder": "none", "text_in_query": False}
TERMS_ONLY = NO_TEXT | {
    "graph": False, "scalars": False, "location": False, "history": "none", "shared_taste": False,
    "history_part": False,
}  # fmt: skip
ALL_FIELDS = ("title", "category", "category_words", "attributes", "attribute_words", "description")


def _fields_without(*names: str) -> dict[str, Any]:
    return {"fields": tuple(name for name in ALL_FIELDS if name not in names)}


def _over_large(field: str) -> dict[str, Any]:
    return LARGE_VOCABULARY | {"fields": (*LARGE_VOCABULARY["fields"], field)}


ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        Row(BASELINES, NO_TEXT, is_trained=False),
        Row("shelfwise", is_boosted=True),
        Row("mmse", recipe="mmse"),
        Row("ueppr", recipe="ueppr", is_boosted=True),
        Row("ueppr without T5", NO_TEXT, recipe="ueppr"),
        Row("ueppr, random negatives", NO_NEGATIVES | {"uniform": (1.0, 1.0)}, recipe="ueppr"),
        Row("Base", BASE, recipe="ueppr"),
        Row("Large vocabulary", LARGE_VOCABULARY, recipe="ueppr"),
        Row("Large vocabulary + T5", LARGE_VOCABULARY | {"text_encoder": "t5"}, recipe="ueppr"),
        Row("Large vocabulary + attributes", _over_large("attributes"), recipe="ueppr"),
        Row("Large vocabulary + description", _over_large("description"), recipe="ueppr"),
        Row("Large vocabulary + graph", LARGE_VOCABULARY | {"graph": True}, recipe="ueppr"),
        Row("without graph", {"graph": False}),
        Row("without text encoder", NO_TEXT),
        Row("without scalars", {"scalars": False}),
        Row("without location", {"location": False}),
        Row("without history", {"history": "none", "shared_taste": False, "history_part": False}),
        Row("history: means", {"history": "mean"}),
        Row("without history part", {"history_part": False}),
        Row("what others chose is no negative", {"others_choices": False}),
        Row("without shared taste", {"shared_taste": False}),
        Row("without shared words", {"shared_words": False}),
        Row("without attributes", _fields_without("attributes", "attribute_words")),
        Row("without description", _fields_without("description")),
        Row("terms only", TERMS_ONLY),
        Row("text encoder in items only", {"text_in_query": False, "text_fusion": "features"}),
        Row("text through the layers", {"text_fusion": "features"}),
        Row("target query always left out", {"graph_leave_out": 1.0}),
        Row("target query left out half the time", {"graph_leave_out": 0.5}),
        Row("target query never left out", {"graph_leave_out": 0.0}),
        Row("without query dropout", {"query_dropout": 0.0}),
        Row("in-batch + uniform", IN_BATCH_UNIFORM),
        Row("+ hard in-batch", IN_BATCH_UNIFORM | {"hard_in_batch": (1.0, 1.0)}),
        Row("+ dynamic", IN_BATCH_UNIFORM | {"hard_in_batch": (1.0, 1.0), "dynamic": (1.0, 1.0)}),
        Row(
            "+ weighted",
            NO_NEGATIVES | {"uniform": (1.0, 0.3), "hard_in_batch": (0.0, 1.0), "dynamic": (0.0, 1.0)},
        ),
        Row(
            "+ weighted, in-batch kept",
            IN_BATCH_UNIFORM | {"uniform": (1.0, 0.3), "hard_in_batch": (0.0, 1.0), "dynamic": (0.0, 1.0)},
        ),
        Row("uniform only", NO_NEGATIVES | {"uniform": (1.0, 1.0)}),
        Row("in-batch only", NO_NEGATIVES | {"in_batch": (1.0, 1.0)}),
        Row("clicks only", objectives(click=1.0)),
        Row("clicks + unclicked", four_without("click_over_unclicked", "order_over_unclicked")),
        Row("clicks + click over unclicked", four_without("unclicked", "order_over_unclicked")),
        Row("clicks + order over unclicked", four_without("unclicked", "click_over_unclicked")),
        Row("all four", four_without()),
        Row("four without clicks", four_without("click")),
        Row("four without unclicked", four_without("unclicked")),
        Row("four without click over unclicked", four_without("click_over_unclicked")),
        Row("four without order over unclicked", four_without("order_over_unclicked")),
        Row("fused", objectives(fused=1.0)),
        Row("multi-part hinge", objectives(multi_part_hinge=1.0)),
        Row("clicks + multi-part hinge", objectives(click=1.0, multi_part_hinge=1.0)),
    )
}

BASELINE_LINES = tuple(Line(name, BASELINES, name) for name in BASELINE_METHODS)
SHELFWISE_LINES = (
    Line("shelfwise", "shelfwise"),
    Line("shelfwise, not personalized", "shelfwise", NOT_PERSONALIZED),
    Line("shelfwise + boosting, in force", "shelfwise", BOOSTED),
    Line("shelfwise + boosting, as proposed", "shelfwise", PROPOSED),
    Line("shelfwise + bm25 (hybrid)", "shelfwise", HYBRID),
)
PAPERS = (Line("mmse", "mmse"), Line("ueppr", "ueppr"))


def _lines(*rows: str) -> tuple[Line, ...]:
    return tuple(Line(row, row) for row in rows)


TABLES: dict[str, Table] = {
    table.key: table
    for table in (
        Table(
            "recipes",
            "Recipes and baselines (the rows of UEPPR's first table)",
            "shelfwise",
            (
                *BASELINE_LINES,
                *_lines("Base", "Large vocabulary"),
                *_lines("ueppr, random negatives", "ueppr without T5", "ueppr"),
                Line("ueppr + boosting, in force", "ueppr", BOOSTED),
                Line("ueppr + boosting, as proposed", "ueppr", PROPOSED),
                Line("mmse", "mmse"),
                *SHELFWISE_LINES,
            ),
        ),
        Table(
            "I",
            "Table I: encoders",
            "all",
            (
                Line("all", "shelfwise"),
                *_lines(
                    "without graph",
                    "without text encoder",
                    "without scalars",
                    "without location",
                    "without history",
                    "history: means",
                    "without shared taste",
                    "without shared words",
                    "without attributes",
                    "without description",
                    "terms only",
                    "text encoder in items only",
                    "text through the layers",
                    "target query always left out",
                    "target query left out half the time",
                    "target query never left out",
                    "without query dropout",
                ),
                *SHELFWISE_LINES[1:],
            ),
        ),
        Table(
            "features",
            "Item features over Large vocabulary (as in UEPPR)",
            "Large vocabulary",
            _lines(
                "Large vocabulary",
                "Large vocabulary + T5",
                "Large vocabulary + attributes",
                "Large vocabulary + description",
                "Large vocabulary + graph",
            ),
        ),
        Table(
            "II",
            "Table II: negatives",
            "in-batch + uniform",
            _lines(
                "in-batch + uniform",
                "+ hard in-batch",
                "+ dynamic",
                "+ weighted",
                "+ weighted, in-batch kept",
                "uniform only",
                "in-batch only",
            ),
        ),
        Table(
            "III",
            "Table III: objectives",
            "clicks only",
            _lines(
                "clicks only",
                "clicks + unclicked",
                "clicks + click over unclicked",
                "clicks + order over unclicked",
                "all four",
                "four without clicks",
                "four without unclicked",
                "four without click over unclicked",
                "four without order over unclicked",
                "fused",
                "multi-part hinge",
                "clicks + multi-part hinge",
            ),
        ),
        Table(
            "text",
            "Recipes and what is read of the text",
            "shelfwise",
            (
                *BASELINE_LINES,
                *PAPERS,
                *SHELFWISE_LINES,
                *_lines(
                    "without text encoder",
                    "text encoder in items only",
                    "text through the layers",
                    "without query dropout",
                    "without shared words",
                    "without description",
                    "without graph",
                ),
            ),
        ),
        Table(
            "context",
            "Recipes and what is known of users and items",
            "shelfwise",
            (
                *BASELINE_LINES,
                *PAPERS,
                *SHELFWISE_LINES,
                *_lines("without history", "without graph", "without scalars", "without location"),
            ),
        ),
    )
}


def rows_of(tables: list[str]) -> list[str]:
    """Names of the rows of some tables, each once; the baselines first."""
    return list(dict.fromkeys([BASELINES, *(row for key in tables for row in TABLES[key].rows)]))
