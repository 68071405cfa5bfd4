"""Sessions over a given catalogue and human relevance judgements: real products, real queries, simulated users."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demoshop.items import Items, Shelved
from demoshop.judgements import held_out_queries, read_judgements
from demoshop.landing import LandingReport, OpenShop, make_days
from demoshop.randomness import Floats, Ints, Longs, stream
from demoshop.shop import NARROWED_PLACES, NARROWED_SHARE, Asked
from demoshop.tastes import DIM, Tastes, Topics, Values
from infra.contract.content import file_hash
from infra.progress import Progress
from infra.settings import Settings

GAIN = np.array([0.0, 0.1, 0.35, 1.0], np.float32)
"""Relevance of a grade: irrelevant, complement, substitute, exact."""
USERS_PER_QUERY = 10
"""At most so many users per judged query: more would repeat the same few queries."""
ITEM_ID = ("item_id", "asin", "product_id", "sku", "id")
CATALOG = re.compile(r"catalog\.(parquet|(ndjson|jsonl|json|csv)(\.gz)?)")
TITLE = ("title", "product_title", "name")


def is_judged_folder(landing: str) -> bool:
    """Whether a folder or URL holds a catalogue and ``qrels.tsv`` and no days of its own."""
    files, root = fsspec.core.url_to_fs(landing)
    root = root.rstrip("/")
    has_both = bool(catalogs_in(files, root)) and files.exists(f"{root}/qrels.tsv")
    return has_both and not files.glob(f"{root}/dt=*")


def judged_catalog(landing: str) -> Path:
    """The catalogue of a local judged folder; of several the first by name."""
    files, root = fsspec.core.url_to_fs(landing)
    return Path(catalogs_in(files, root.rstrip("/"))[0])


def catalogs_in(files: Any, root: str) -> list[str]:
    """Catalogue files of a folder, of each format that a catalogue may have."""
    return sorted(path for path in files.glob(f"{root}/catalog.*") if CATALOG.fullmatch(path.rsplit("/", 1)[-1]))


def read_table(catalog_file: Path) -> pa.Table:
    """A catalogue as a table; the columns of a CSV are texts, so that an id keeps its zeros.

    Raises:
        ValueError: it is damaged.
    """
    if catalog_file.suffix == ".parquet":
        return pq.read_table(catalog_file)
    is_csv = ".csv" in catalog_file.suffixes
    with duckdb.connect() as engine:
        try:
            source = (
                engine.read_csv(str(catalog_file), header=True, all_varchar=True)
                if is_csv
                else engine.read_json(str(catalog_file), format="auto")
            )
            return source.to_arrow_table()
        except duckdb.Error as error:
            told = str(error).splitlines()[0]
            raise ValueError(f"{catalog_file} cannot be read; replace it and run again: {told}") from error


def make_judged_landing(
    settings: Settings, catalog_file: Path, qrels_file: Path, progress: Progress | None = None
) -> LandingReport:
    """Make sessions over judged queries into ``settings.paths.landing``, beside a copy of the catalogue.

    As ``make_landing``: days, activity and tastes follow ``settings.demo``, made once, resumed.

    Raises:
        ValueError: a column is missing or a grade is none of 0 to 3, or no judged item is in the catalogue.
    """
    digests = [str(file_hash(path)) for path in (catalog_file, qrels_file)]

    def open_shop() -> OpenShop:
        judgements = read_judgements(qrels_file)
        held_out = held_out_queries(judgements, settings.demo)["query"].combine_chunks()
        searched = judgements.filter(pc.invert(pc.is_in(judgements["query"], held_out)))
        shop = JudgedShop(settings.demo.seed, read_table(catalog_file), searched)
        users = min(settings.demo.users, USERS_PER_QUERY * len(shop.queries))
        return OpenShop(shop, users, lambda path: copy(catalog_file, path))

    return make_days(settings, f"judged {' '.join(digests)}", open_shop, progress)


def copy(source: Path, target: Path) -> None:
    """Copy a catalogue to Parquet, in one step."""
    temporary = target.with_name(f".{target.name}.making")
    if source.suffix == target.suffix:
        shutil.copyfile(source, temporary)
    else:
        pq.write_table(read_table(source), temporary)
    temporary.replace(target)


class JudgedShop:
    """A given catalogue (see ``Shop``). Topics are the judged queries; an item that nobody judged is irrelevant."""

    def __init__(self, seed: int, catalog: pa.Table, judgements: pa.Table) -> None:
        self.items, self.shelves = read_items(catalog)
        item = pc.index_in(judgements["item_id"], self.items.ids)
        known = judgements.filter(pc.is_valid(item))
        if not known.num_rows:
            raise ValueError("none of the judged items is in the catalogue: do qrels and catalogue belong together?")
        coded = known["query"].combine_chunks().dictionary_encode()
        self.queries = coded.dictionary
        query, item_row = coded.indices.to_numpy(), item.drop_null().to_numpy().astype(np.int64)
        key = query.astype(np.int64) * len(self.items) + item_row
        order = np.argsort(key)
        self.judged_key: Longs = key[order]
        self.judged_gain: Floats = GAIN[known["grade"].to_numpy()[order]]
        self.judged_item: Ints = (self.judged_key % len(self.items)).astype(np.int32)
        self.by_query = Shelved.group((self.judged_key // len(self.items)).astype(np.int32), len(self.queries))
        rng = stream(seed, "topics")
        self.topics = Topics(
            (rng.permutation(len(self.queries)) + 1.0).astype(np.float32) ** np.float32(-0.8),
            rng.standard_normal((len(self.queries), DIM), np.float32) / np.float32(np.sqrt(DIM)),
        )
        brands, styles, colors = (
            int(c.max(initial=-1)) + 1 for c in (self.items.brand, self.items.style, self.items.color)
        )
        self.values = Values.draw(seed, brands, styles, colors)

    @property
    def opening_stock(self) -> int:
        return len(self.items)

    def items_by(self, day: int) -> int:
        return len(self.items)

    def ask(self, rng: np.random.Generator, tastes: Tastes, users: Ints, need: Ints) -> Asked:
        _, opens = np.unique(need, return_index=True)
        topic = tastes.choose_with_habits(rng, users[opens])[need]
        return Asked(self.queries.take(pa.array(topic)), {"topic": topic})

    def narrowed(self, rng: np.random.Generator, asked: Asked) -> Ints:
        narrows = rng.random(len(asked.text)) < NARROWED_SHARE
        topic = np.where(narrows, asked.meant["topic"], -1)[:, None]
        judged = self.by_query.draw(rng, np.repeat(topic, NARROWED_PLACES, axis=1).astype(np.int32))
        return np.where(judged >= 0, self.judged_item[judged], -1).astype(np.int32)

    def relevance(self, asked: Asked, shown: Ints) -> Floats:
        key = asked.meant["topic"].astype(np.int64)[:, None] * len(self.items) + shown
        at = np.minimum(np.searchsorted(self.judged_key, key), len(self.judged_key) - 1)
        return np.where(self.judged_key[at] == key, self.judged_gain[at], np.float32(0)).astype(np.float32)

    def truth(self) -> dict[str, pa.Table]:
        topic = (self.judged_key // len(self.items)).astype(np.int32)
        columns = {
            "query": self.queries.take(pa.array(topic)),
            "item_id": self.items.ids.take(pa.array(self.judged_item)),
            "relevance": pa.array(self.judged_gain),
        }
        return {"judgements": pa.table(columns)}


def read_items(catalog: pa.Table) -> tuple[Items, int]:
    """The columns of a given catalogue that the simulation uses, and how many shelves (last categories) there are."""
    catalog = catalog.combine_chunks()
    id_column = find_column(catalog, ITEM_ID)
    if id_column is None:
        raise ValueError(f"the catalogue has no column {' or '.join(ITEM_ID)}, but {catalog.column_names}")
    count = catalog.num_rows
    title = find_column(catalog, TITLE)
    path = find_column(catalog, ("category_path",))
    absent = np.full(count, -1, np.int32)
    shelf = codes(level_of(path, last=True)) if path is not None else absent
    price = numbers(find_column(catalog, ("price",)), count)
    items = Items(
        ids=id_column.cast(pa.string()),
        titles=title.cast(pa.string()) if title is not None else pa.nulls(count, pa.string()),
        keywords=pa.nulls(count, pa.string()),
        shelf=shelf,
        brand=codes(find_column(catalog, ("brand", "product_brand", "shop")), count),
        style=codes(level_of(path, last=False)) if path is not None else absent,
        color=codes(find_column(catalog, ("color", "colour", "product_color")), count),
        material=absent,
        use=absent,
        price_level=standardised(np.log(np.maximum(price, 0.01))),
        quality=standardised(numbers(find_column(catalog, ("rating",)), count)),
        popularity=standardised(np.log1p(numbers(find_column(catalog, ("rating_count",)), count))),
        created=np.zeros(count, np.int64),
    )
    return items, int(shelf.max(initial=-1)) + 1


def find_column(table: pa.Table, names: tuple[str, ...]) -> pa.Array | None:
    """The first of the columns that the table has."""
    found = [name for name in names if name in table.column_names]
    return table[found[0]].combine_chunks() if found else None


def codes(texts: pa.Array | None, count: int = 0) -> Ints:
    """A code per distinct text, case aside; -1 where absent."""
    if texts is None:
        return np.full(count, -1, np.int32)
    lowered = pc.utf8_lower(pc.utf8_trim_whitespace(texts.cast(pa.string())))
    indices: Ints = pc.fill_null(lowered.dictionary_encode().indices, -1).to_numpy().astype(np.int32)
    return indices


def level_of(paths: pa.Array, last: bool) -> pa.Array:
    """The last level of each category path, or the second one (the only one, if there is one); null without a path."""
    if pa.types.is_string(paths.type):
        paths = pc.split_pattern(paths, ">")
    length = pc.fill_null(pc.list_value_length(paths), 0).to_numpy().astype(np.int64)
    start = np.cumsum(length) - length
    at = start + np.where(length == 0, 0, length - 1 if last else np.minimum(length - 1, 1))
    return paths.flatten().cast(pa.string()).take(pa.array(at, mask=length == 0))


def numbers(column: pa.Array | None, count: int) -> np.ndarray:
    """Numbers, NaN where absent."""
    if column is None:
        return np.full(count, np.nan)
    if pa.types.is_string(column.type):
        column = pc.struct_field(pc.extract_regex(pc.replace_substring(column, ",", ""), r"(?P<n>\d+\.?\d*)"), "n")
    return np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy())


def standardised(values: np.ndarray) -> Floats:
    """Zero mean, unit spread; 0 where absent."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values), np.float32)
    spread = max(float(values[known].std()), 1e-9)
    return np.where(known, np.clip((values - values[known].mean()) / spread, -3, 3), 0).astype(np.float32)
