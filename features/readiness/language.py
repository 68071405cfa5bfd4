"""Whether catalogue and queries are in English, which is what MiniLM reads.

Told by function words ("mit", "para") of ``LANGUAGES``, each without those that English has too, and by the script.
Texts of names alone hold none, and then nothing is said; nor is a language without a list in Latin letters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from bm25s import stopwords

from features.engine import open_engine, view_days
from features.readiness.report import Gap
from features.sql_text import quoted
from infra.contract.partitions import written_days
from infra.contract.tables import SESSION_TABLES
from infra.settings import Settings

LEAST_FOUND, LEAST_WORDS, TIMES = 50, 5, 2.0
"""How often function words of another language are found at least, how many different ones, and how many times as often
as English ones: "de" and "la" are brands and perfumes, too."""
OTHER_SCRIPT = 0.5
"""Share of words in other letters than Latin ones from which the texts are not English."""
MOST_TEXTS = 20_000
"""Items, and queries, that are looked at."""
ENGLISH = "English"
LANGUAGES = {
    "German": stopwords.STOPWORDS_GERMAN,
    "Dutch": stopwords.STOPWORDS_DUTCH,
    "French": stopwords.STOPWORDS_FRENCH,
    "Spanish": stopwords.STOPWORDS_SPANISH,
    "Portuguese": stopwords.STOPWORDS_PORTUGUESE,
    "Italian": stopwords.STOPWORDS_ITALIAN,
    "Swedish": stopwords.STOPWORDS_SWEDISH,
    "Norwegian": stopwords.STOPWORDS_NORWEGIAN,
    "Danish": stopwords.STOPWORDS_DANISH,
    "Turkish": stopwords.STOPWORDS_TURKISH,
    "Russian": stopwords.STOPWORDS_RUSSIAN,
    "Chinese": stopwords.STOPWORDS_CHINESE,
    "Korean": stopwords.STOPWORDS_KOREAN,
}
"""Function words of the languages, but English, that are told by them."""
_WORDS = r"[\p{L}]+"
_TEXTS = (
    "SELECT concat_ws(' ', title, description) AS text FROM read_parquet({}) ORDER BY hash(item_id) LIMIT {}",
    "SELECT query FROM (SELECT DISTINCT query FROM requests) ORDER BY hash(query) LIMIT {}",
)
_COUNTED = """
WITH words AS (SELECT unnest(regexp_extract_all(lower(text), $words)) AS word FROM texts),
counted AS (SELECT word, count(*) AS times FROM words GROUP BY word)
SELECT language, sum(times)::BIGINT, count(*) FROM counted JOIN known USING (word) GROUP BY language
UNION ALL SELECT '', sum(times)::BIGINT, 0 FROM counted
UNION ALL SELECT 'other script', sum(times)::BIGINT, 0 FROM counted WHERE NOT regexp_matches(word, '\\p{Latin}')
"""


def language_gaps(settings: Settings) -> Iterator[Gap]:
    """That the text encoder reads another language than the shop's, where it is one of English."""
    found = foreign(settings) if settings.training.text_encoder == "minilm" else ""
    if found:
        yield Gap(
            42,
            f"Catalogue and queries are {found}, and the text encoder (MiniLM) reads English",
            "What it makes of them tells little: a catalogue alone is found by BM25's words, and of queries that nobody"
            " asked before less is found.",
            "Set SHELFWISE_TRAINING__TEXT_ENCODER=e5, which reads about 100 languages, or mlm, trained on this shop's"
            " text, or begun from a checkpoint of yours (SHELFWISE_TRAINING__PRETRAINING__CHECKPOINT); none leaves it"
            " out, and a catalogue alone to BM25.",
        )


def foreign(settings: Settings) -> str:
    """What the texts are in words, such as ``mostly in German``; "" where they are English or it cannot be told."""
    with open_engine(settings) as engine:
        con = engine.con
        _create_texts(engine, settings)
        con.register("known", _function_words())
        counts = {
            name: (times or 0, words) for name, times, words in con.execute(_COUNTED, {"words": _WORDS}).fetchall()
        }
    words, english = counts.pop("")[0], counts.pop(ENGLISH, (0, 0))[0]
    in_other_letters = counts.pop("other script")[0]
    if words >= LEAST_FOUND and in_other_letters > OTHER_SCRIPT * words:
        return "mostly in other letters than Latin ones"
    language, (times, different) = max(counts.items(), key=lambda item: item[1], default=("", (0, 0)))
    if times < max(LEAST_FOUND, TIMES * english) or different < LEAST_WORDS:
        return ""
    return f"mostly in {language}, by {times:,} function words of it against {english:,} English ones"


def _create_texts(engine: Any, settings: Settings) -> None:
    view_days(
        engine,
        "requests",
        settings.paths.sessions / "requests",
        written_days(settings.paths.sessions / "requests"),
        SESSION_TABLES["requests"],
    )
    catalog, queries = _TEXTS
    parts = [queries.format(MOST_TEXTS)]
    if settings.paths.catalog.exists():
        parts.insert(0, catalog.format(quoted(settings.paths.catalog), MOST_TEXTS))
    texts = " UNION ALL BY NAME ".join(f"(SELECT COLUMNS(*) AS text FROM ({part}))" for part in parts)
    engine.con.execute(f"CREATE VIEW texts AS {texts}")


def _function_words() -> pa.Table:
    """Words that tell a language, a row each."""
    english = frozenset(stopwords.STOPWORDS_EN_PLUS)
    others = frozenset[str]().union(*LANGUAGES.values())
    told = {ENGLISH: english - others, **{name: set(words) - english for name, words in LANGUAGES.items()}}
    pairs = [(name, word) for name, words in told.items() for word in sorted(words) if len(word) > 1]
    return pa.table({"language": [name for name, _ in pairs], "word": [word for _, word in pairs]})
