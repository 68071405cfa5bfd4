"""The demo shop's own catalogue: types from the vocabulary, and items composed of attributes into titles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from demoshop.items import Items
from demoshop.randomness import Bools, Floats, Ints, Longs, choose_by_group, stream
from demoshop.vocabulary import BRAND_ENDS, BRAND_STARTS, COLORS, DEPARTMENTS, STYLES, first, names
from demoshop.words import Names, gather, join, keep, nullable, phrase
from infra.settings import DemoSettings

DAY = 86_400_000_000
ATTRIBUTES = ("color", "material", "size", "style", "use")

CATALOG = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("description", pa.string()),
        ("category_path", pa.list_(pa.string())),
        ("brand", pa.string()),
        ("price", pa.float64()),
        ("rating", pa.float64()),
        ("rating_count", pa.float64()),
        ("attributes", pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))),
        ("tags", pa.list_(pa.string())),
        ("created_at", pa.timestamp("us", tz="UTC")),
    ]
)


def unique_names(lists: list[list[str]]) -> list[str]:
    """The names of several lists, each once, by their commonest synonym."""
    return list({first(name): name for listed in lists for name in listed}.values())


def weights_by_department(lists: list[list[str]], every: list[str]) -> NDArray[np.float64]:
    """[departments, names]: 1 where the department has the name."""
    codes = {first(name): code for code, name in enumerate(every)}
    weights = np.zeros((len(lists), len(every)))
    for department, listed in enumerate(lists):
        weights[department, [codes[first(name)] for name in listed]] = 1
    return weights


class Range:
    """What the shop sells: types (the finest shelves), brands and the values of attributes.

    A small shop has fewer types and brands, so that a type still has items to choose from.
    """

    def __init__(self, demo: DemoSettings) -> None:
        rng = stream(demo.seed, "range")
        self.departments = Names([d.name for d in DEPARTMENTS])
        nouns = [names(d.nouns) for d in DEPARTMENTS]
        kinds = [names(d.kinds) for d in DEPARTMENTS]
        self.nouns = Names([n for listed in nouns for n in listed])
        self.kinds = Names([k for listed in kinds for k in listed])
        per_noun, per_department = len(kinds[0]), len(nouns[0])
        every = np.arange(len(self.nouns.count) * per_noun)
        kept = np.sort(rng.permutation(every)[: np.clip(demo.items // 50, 12, len(every))])
        self.noun: Ints = (kept // per_noun).astype(np.int32)
        self.department: Ints = (self.noun // per_department).astype(np.int32)
        self.kind: Ints = (self.department * per_noun + kept % per_noun).astype(np.int32)
        self.weight: Floats = (rng.permutation(len(kept)) + 1.0).astype(np.float32) ** np.float32(-0.8)
        self.stocking: NDArray[np.float64] = np.sqrt(self.weight.astype(np.float64))
        self.price: Floats = (
            np.array([d.price for d in DEPARTMENTS], np.float32)[self.department]
            * np.exp(0.4 * rng.standard_normal(len(self.nouns.count)))[self.noun]
            * np.exp(0.25 * rng.standard_normal(len(kept)))
        ).astype(np.float32)

        materials, sizes, uses = (
            [names(getattr(d, field)) for d in DEPARTMENTS] for field in ("materials", "sizes", "uses")
        )
        self.material_names, self.size_names, self.use_names = map(unique_names, (materials, sizes, uses))
        self.materials, self.sizes, self.uses = map(Names, (self.material_names, self.size_names, self.use_names))
        self.material_weights = weights_by_department(materials, self.material_names)
        self.size_weights = weights_by_department(sizes, self.size_names)
        self.use_weights = weights_by_department(uses, self.use_names)
        self.colors, self.styles = Names(names(COLORS)), Names(names(STYLES))
        self.color_weights = np.arange(2, 2 + len(self.colors.count), dtype=np.float64) ** np.float64(-0.7)

        made = [(s + e).title() for s in names(BRAND_STARTS) for e in names(BRAND_ENDS)]
        count = int(np.clip(demo.items // 80, 12, 240))
        self.brands = Names([made[i] for i in rng.permutation(len(made))[:count]])
        self.tier: Floats = rng.integers(-1, 2, count).astype(np.float32)
        self.house_style: Ints = rng.integers(0, len(self.styles.count), count).astype(np.int32)
        sells = rng.random((len(DEPARTMENTS), count)) < 0.2
        sells[np.arange(count) % len(DEPARTMENTS), np.arange(count)] = True
        self.brand_weights = sells * rng.pareto(1.5, count)[None, :] + sells * 0.2


@dataclass(frozen=True)
class Catalogue:
    """The items as the simulation sees them and as the catalogue file shows them, in order of creation."""

    items: Items
    table: pa.Table


def make_catalogue(demo: DemoSettings, goods: Range) -> Catalogue:
    """The opening stock, then each day's new items; another day more only appends."""
    opening = datetime.combine(demo.start, datetime.min.time(), UTC)
    blocks = [make_block(demo, goods, first_id=0, count=demo.items, start=opening)]
    if demo.new_items_per_day:
        first_ids = range(demo.items, demo.items + demo.days * demo.new_items_per_day, demo.new_items_per_day)
        blocks += [
            make_block(
                demo,
                goods,
                first_id=first_id,
                count=demo.new_items_per_day,
                start=opening + timedelta(days=day),
                new_on=day,
            )
            for day, first_id in enumerate(first_ids)
        ]
    return Catalogue(Items.concat([b.items for b in blocks]), pa.concat_tables([b.table for b in blocks]))


def make_block(
    demo: DemoSettings, goods: Range, *, first_id: int, count: int, start: datetime, new_on: int | None = None
) -> Catalogue:
    """``count`` items: created on the day from ``start`` where ``new_on`` is given, else in the years before it."""
    rng = stream(demo.seed, "items", 0 if new_on is None else new_on + 1)
    shelf = choose_by_group(rng, np.zeros(count, np.int32), goods.stocking[None, :])
    department = goods.department[shelf]
    brand = choose_by_group(rng, department, goods.brand_weights)
    material = choose_by_group(rng, department, goods.material_weights)
    size = choose_by_group(rng, department, goods.size_weights)
    use = choose_by_group(rng, department, goods.use_weights)
    color = choose_by_group(rng, np.zeros(count, np.int32), goods.color_weights[None, :])
    house = rng.random(count) < 0.5
    style = np.where(house, goods.house_style[brand], rng.integers(0, len(goods.styles.count), count)).astype(np.int32)

    price_shift = 0.5 * goods.tier[brand] + 0.35 * rng.standard_normal(count)
    price = np.maximum(np.round(goods.price[shelf] * np.exp(price_shift)), 1) - 0.01
    quality = (0.95 * rng.standard_normal(count) + 0.3 * goods.tier[brand]).astype(np.float32)
    popularity = rng.standard_normal(count).astype(np.float32)
    created = created_times(rng, count, start, new_on)
    ids = join([pa.array(np.char.add("i", np.char.zfill(np.arange(first_id, first_id + count).astype(str), 7)))])

    codes = {"color": color, "material": material, "size": size, "style": style, "use": use}
    described = {
        key: values.common(codes[key])
        for key, values in zip(
            ATTRIBUTES, (goods.colors, goods.materials, goods.sizes, goods.styles, goods.uses), strict=True
        )
    }
    titles = make_titles(rng, goods, shelf, brand, codes)
    kind = goods.kinds.common(goods.kind[shelf])
    tags, tag_text = make_tags(rng, [described["style"], described["use"], kind])
    rated = rng.random(count) < (0.9 if new_on is None else 0.0)
    rating = np.clip(np.round(4.0 + 0.45 * quality.astype(np.float64), 1), 1, 5)
    rating_count = np.floor(np.exp(2.5 + 1.2 * popularity))
    items = Items(
        ids, titles, tag_text, shelf, brand, style, color, material, use,
        (price_shift / 0.55).astype(np.float32), quality, popularity, created,
    )  # fmt: skip
    columns = [
        ids,
        titles,
        make_descriptions(rng, goods, shelf, brand, codes),
        category_path(goods, shelf),
        goods.brands.common(np.where(rng.random(count) < 0.97, brand, -1).astype(np.int32)),
        pa.array(price, mask=rng.random(count) < 0.01),
        pa.array(rating, mask=~rated),
        pa.array(np.where(rated, rating_count, 0.0)),
        make_attributes(described, rng.random((count, len(ATTRIBUTES))) < 0.85),
        tags,
        pa.array(created, pa.timestamp("us", tz="UTC")),
    ]
    return Catalogue(items, pa.Table.from_arrays(columns, names=CATALOG.names).cast(CATALOG))


def created_times(rng: np.random.Generator, count: int, start: datetime, new_on: int | None) -> Longs:
    """Creation in microseconds since 1970, rising: within the day from ``start``, or up to some years before it."""
    origin = int(start.timestamp()) * 1_000_000
    if new_on is not None:
        return origin + np.sort(rng.integers(0, DAY, count))
    before = np.minimum(rng.exponential(300.0, count), 1500.0) * DAY
    return np.sort(origin - 1_000_000 - before.astype(np.int64))


def make_titles(rng: np.random.Generator, goods: Range, shelf: Ints, brand: Ints, codes: dict[str, Ints]) -> pa.Array:
    """Titles in one of four orders, each leaving out some of what is known about the item."""
    count = len(shelf)

    def some(texts: pa.Array, share: float) -> pa.Array:
        return keep(texts, rng.random(count) < share)

    label = some(goods.brands.common(brand), 0.8)
    style = some(goods.styles.pick(rng, codes["style"], 0.7), 0.3)
    color = some(goods.colors.pick(rng, codes["color"], 0.7), 0.5)
    material = some(goods.materials.pick(rng, codes["material"], 0.75), 0.45)
    kind = some(goods.kinds.pick(rng, goods.kind[shelf], 0.65), 0.85)
    noun = goods.nouns.pick(rng, goods.noun[shelf], 0.6)
    size = some(goods.sizes.pick(rng, codes["size"], 0.8), 0.35)
    use = phrase("for ", some(goods.uses.pick(rng, codes["use"], 0.7), 0.3))
    orders = [
        join([label, style, color, material, kind, noun, size, use]),
        join([label, kind, noun, phrase("in ", color), material, use, size]),
        join([style, kind, noun, use, phrase("by ", label), color]),
        join([color, material, noun, kind, phrase("- ", label), size, style]),
    ]

    return pc.utf8_title(pc.choose(pa.array(rng.integers(0, 4, count)), *orders))


def make_descriptions(
    rng: np.random.Generator, goods: Range, shelf: Ints, brand: Ints, codes: dict[str, Ints]
) -> pa.Array:
    """A few sentences with other synonyms than the title's; missing for some items."""
    noun = goods.nouns.pick(rng, goods.noun[shelf], 0.5)
    kind = goods.kinds.pick(rng, goods.kind[shelf], 0.5)
    texts = join(
        [
            phrase("A ", join([goods.styles.pick(rng, codes["style"], 0.6), noun]), "."),
            phrase("Made of ", goods.materials.pick(rng, codes["material"], 0.6), "."),
            phrase("Colour: ", goods.colors.pick(rng, codes["color"], 0.6), "."),
            phrase("Our ", kind, " choice."),
            phrase("Great for ", goods.uses.pick(rng, codes["use"], 0.6), "."),
            phrase("From ", goods.brands.common(brand), "."),
        ]
    )
    return keep(texts, rng.random(len(shelf)) < 0.9)


def make_tags(rng: np.random.Generator, columns: list[pa.Array]) -> tuple[pa.Array, pa.Array]:
    """Lists of tags, each present for some items, and the same as text."""

    offsets, rows = gather(columns, rng.random((len(columns[0]), len(columns))) < 0.5)
    lists = pa.ListArray.from_arrays(offsets, pa.concat_arrays(columns).take(rows))
    return lists, pc.binary_join(lists, " ")


def make_attributes(described: dict[str, pa.Array], kept: Bools) -> pa.Array:
    """Lists of (key, value), [rows] from ``kept`` [rows, attributes]."""
    columns = list(described.values())
    offsets, rows = gather(columns, kept)
    keys = pa.array(list(described)).take(nullable(np.nonzero(kept)[1].astype(np.int32), np.zeros(len(rows), bool)))
    pairs = pa.StructArray.from_arrays([keys, pa.concat_arrays(columns).take(rows)], ["key", "value"])
    return pa.ListArray.from_arrays(offsets, pairs)


def category_path(goods: Range, shelf: Ints) -> pa.Array:
    """Department, category and type of each item."""
    noun, kind = goods.nouns.common(goods.noun[shelf]), goods.kinds.common(goods.kind[shelf])
    columns = [goods.departments.common(goods.department[shelf]), noun, join([kind, noun])]
    offsets, rows = gather(columns, np.ones((len(shelf), 3), bool))
    return pa.ListArray.from_arrays(offsets, pa.concat_arrays(columns).take(rows))
