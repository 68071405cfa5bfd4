"""The language of a shop's texts, told where MiniLM is to read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from features.catalog import build_catalog
from features.readiness import assess
from features.readiness.language import LANGUAGES, foreign, language_gaps
from infra.settings import Settings, TrainingSettings
from tests.features.readiness.shop import catalogue, new_shop

GERMAN = ("Lampe für das Wohnzimmer mit Schalter", "Tisch und vier Stühle aus Eiche", "Kissen ohne Bezug",
          "Decke, die sich nicht verzieht")  # fmt: skip
SPANISH = ("Mesa de madera para el salón", "Silla con cojín y sin brazos", "Lámpara de los años 60 para la cocina",
           "Cojines que no se manchan, muy suaves")  # fmt: skip
ENGLISH = ("Lamp for the living room with a switch", "Table and four chairs of oak", "Eau de toilette from La Roche",
           "Blanket that does not shrink, and more")  # fmt: skip
RUSSIAN = ("Лампа настольная", "Стол дубовый", "Подушка", "Одеяло шерстяное")
NAMES = ("Billy", "Kallax", "Malm", "Lack")


def shop_of(folder: Path, titles: Sequence[str], encoder: str = "minilm") -> Settings:
    settings = new_shop(folder, training=TrainingSettings.model_validate({"text_encoder": encoder}))
    catalogue(settings, ["sku;name", *(f"{i};{titles[i % len(titles)]}" for i in range(80))])
    build_catalog(settings)
    return settings


@pytest.mark.parametrize(
    ("titles", "said"),
    [
        (GERMAN, "mostly in German, by "),
        (SPANISH, "mostly in Spanish, by "),
        (RUSSIAN, "mostly in other letters than Latin ones"),
        (ENGLISH, ""),
        (NAMES, ""),
        ((*ENGLISH, *GERMAN[:1]), ""),
    ],
)
def test_the_language_is_told_by_function_words_and_script(tmp_path: Path, titles: Sequence[str], said: str) -> None:
    found = foreign(shop_of(tmp_path, titles))
    assert found.startswith(said) if said else found == ""


def test_the_limits_name_the_languages_that_are_told() -> None:
    limits = (Path(__file__).parents[3] / "docs" / "limits.md").read_text(encoding="utf-8")
    said = " ".join(limits.split()).split("where function words (")[1].split(")")[0]
    assert said.split(", ") == list(LANGUAGES)


def test_the_gap_is_one_of_an_encoder_that_reads_english(tmp_path: Path) -> None:
    (gap,) = language_gaps(shop_of(tmp_path / "minilm", GERMAN))
    assert "German" in gap.what and "TEXT_ENCODER=e5" in gap.remedy
    assert not list(language_gaps(shop_of(tmp_path / "mlm", GERMAN, "mlm")))


@pytest.mark.slow
def test_the_check_lists_it(tmp_path: Path) -> None:
    report = assess(shop_of(tmp_path, GERMAN))
    assert any("reads English" in gap.what for gap in report.gaps)
