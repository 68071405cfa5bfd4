"""The demo shop's own shop: what users look for, how they type it, and what is relevant to it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from demoshop.catalog import Range, make_catalogue
from demoshop.items import Shelved
from demoshop.randomness import Bools, Floats, Ints, stream
from demoshop.shop import NARROWED_PLACES, NARROWED_SHARE, Asked
from demoshop.tastes import DIM, Tastes, Topics, Values
from demoshop.vocabulary import INTENTS, first, names
from demoshop.words import Names, join, phrase
from infra.settings import DemoSettings

KINDS = ("exact", "detailed", "type", "category", "brand", "intent")
KIND_SHARES = np.array([[0.12, 0.26, 0.24, 0.17, 0.09, 0.12]])
EXACT, DETAILED, TYPE, CATEGORY, BRAND, INTENT = range(len(KINDS))

MEANT = ("kind", "topic", "intent", "brand", "color", "material", "style")
"""The hidden codes of a request, in the order in which the truth keeps them."""

SAME_CATEGORY = np.array([0.12, 0.15, 0.15, 0.7, 0.7, 0.0], np.float32)
"""Relevance, by kind of query, of another type of the wanted category (1 for the wanted type)."""
SAME_DEPARTMENT = 0.02
MISSED = {"brand": 0.3, "color": 0.4, "material": 0.5, "style": 0.5}
"""Factor for an attribute that was asked for and is another."""
MISSED_USE = 0.4
"""Factor for an item that serves an intent's category but is not made for its use."""
TARGETS = 8
"""Items that a user has in mind before typing; the best liked of them gives the query its details."""
TYPO_POSITIONS = range(2, 8)
TYPOS = 0.05
"""Share of the queries with a typing error."""


class ComposedShop:
    """The shop of the vocabulary (see ``Shop``). Topics are item types."""

    def __init__(self, demo: DemoSettings) -> None:
        self.demo = demo
        self.goods = Range(demo)
        catalogue = make_catalogue(demo, self.goods)
        self.items, self.table = catalogue.items, catalogue.table
        self.shelves = len(self.goods.weight)
        self.opening = Shelved.group(self.items.shelf[: demo.items], self.shelves)
        self.topics = make_topics(demo.seed, self.goods, np.diff(self.opening.start) > 0)
        self.values = Values.draw(
            demo.seed, len(self.goods.tier), len(self.goods.styles.count), len(self.goods.colors.count)
        )
        self.phrases = Names([intent.phrases for intent in INTENTS])
        self.intent_use, self.serves = make_intents(self.goods)

    @property
    def opening_stock(self) -> int:
        return self.demo.items

    def items_by(self, day: int) -> int:
        return self.demo.items + (day + 1) * self.demo.new_items_per_day

    def ask(self, rng: np.random.Generator, tastes: Tastes, users: Ints, need: Ints) -> Asked:
        _, opens = np.unique(need, return_index=True)
        wanted = tastes.choose_with_habits(rng, users[opens])
        target = self.targets(rng, tastes, users[opens], wanted)[need]
        kind = rng.choice(len(KINDS), len(users), p=KIND_SHARES[0]).astype(np.int32)
        intent = self.intents(rng, wanted)[need]
        kind[(kind == INTENT) & (intent < 0)] = TYPE

        items = self.items
        detail = rng.random((len(users), 3)) < (0.55, 0.4, 0.35)
        detail[~detail.any(axis=1), 0] = True
        detailed = np.isin(kind, (EXACT, DETAILED))
        meant = {
            "kind": kind,
            "topic": wanted[need],
            "intent": only(intent, kind == INTENT),
            "brand": only(items.brand[target], np.isin(kind, (EXACT, BRAND))),
            "color": only(items.color[target], detailed & detail[:, 0]),
            "material": only(items.material[target], detailed & detail[:, 1]),
            "style": only(items.style[target], detailed & detail[:, 2] & (kind == DETAILED)),
        }
        return Asked(self.typed(rng, meant), meant)

    def targets(self, rng: np.random.Generator, tastes: Tastes, users: Ints, wanted: Ints) -> Ints:
        """An item of the wanted type for each need: one that the user likes."""
        known = self.opening.draw(rng, np.repeat(wanted[:, None], TARGETS, axis=1))
        liking = tastes.match(users, self.items, known) + 0.5 * self.items.popularity[known]
        best: Ints = known[np.arange(len(users)), np.argmax(liking + rng.gumbel(size=known.shape), axis=1)]
        return best

    def intents(self, rng: np.random.Generator, wanted: Ints) -> Ints:
        """A broad intent that the wanted type serves, or -1."""
        serves = self.serves[:, self.goods.noun[wanted]].T
        chance = np.where(serves, rng.random(serves.shape), -1.0)
        best = np.argmax(chance, axis=1)
        return np.where(serves.any(axis=1), best, -1).astype(np.int32)

    def typed(self, rng: np.random.Generator, meant: dict[str, Ints]) -> pa.Array:
        """The text of each request, in one of three word orders, some with a typing error."""
        goods, kind, topic = self.goods, meant["kind"], meant["topic"]
        said = kind != INTENT
        noun = goods.nouns.pick(rng, only(goods.noun[topic], said), 0.5)
        type_said = said & ~np.isin(kind, (CATEGORY, BRAND)) & (rng.random(len(kind)) < 0.9)
        type_name = goods.kinds.pick(rng, only(goods.kind[topic], type_said), 0.55)
        brand = goods.brands.common(meant["brand"])
        color = goods.colors.pick(rng, meant["color"], 0.6)
        material = goods.materials.pick(rng, meant["material"], 0.65)
        style = goods.styles.pick(rng, meant["style"], 0.6)
        intent = self.phrases.pick(rng, meant["intent"], 0.5)
        orders = (
            join([intent, brand, style, color, material, type_name, noun]),
            join([intent, type_name, noun, color, material, style, brand]),
            join([intent, brand, color, type_name, noun, phrase("in ", material), style]),
        )
        order = pa.array(rng.choice(3, len(kind), p=(0.6, 0.25, 0.15)))
        return with_typos(rng, pc.utf8_lower(pc.choose(order, *orders)), TYPOS)

    def narrowed(self, rng: np.random.Generator, asked: Asked) -> Ints:
        narrows = rng.random(len(asked.text)) < NARROWED_SHARE
        shelf = np.repeat(only(asked.meant["topic"], narrows)[:, None], NARROWED_PLACES, axis=1)
        return self.opening.draw(rng, shelf)

    def relevance(self, asked: Asked, shown: Ints) -> Floats:
        meant, items, goods = asked.meant, self.items, self.goods
        shelf, topic = items.shelf[shown], meant["topic"][:, None]
        fit = np.where(
            shelf == topic,
            np.float32(1),
            np.where(
                goods.noun[shelf] == goods.noun[topic],
                SAME_CATEGORY[meant["kind"]][:, None],
                np.where(
                    goods.department[shelf] == goods.department[topic], np.float32(SAME_DEPARTMENT), np.float32(0)
                ),
            ),
        )
        intent = meant["intent"][:, None]
        serves = self.serves[intent, goods.noun[shelf]]
        fits_use = np.where(items.use[shown] == self.intent_use[intent], np.float32(1), np.float32(MISSED_USE))
        fit = np.where(intent >= 0, serves * fits_use, fit).astype(np.float32)
        for name, factor in MISSED.items():
            code = meant[name][:, None]
            fit *= np.where((code < 0) | (getattr(items, name)[shown] == code), np.float32(1), np.float32(factor))
        return fit

    def truth(self) -> dict[str, pa.Table]:
        intent, noun = np.nonzero(self.serves)
        served = {
            "phrases": pa.array([i.phrases for i in INTENTS]).take(pa.array(intent)),
            "use": self.goods.uses.firsts.take(pa.array(self.intent_use[intent])),
            "category": self.goods.nouns.firsts.take(pa.array(noun)),
        }
        types = {
            "category": self.goods.nouns.common(self.goods.noun),
            "kind": self.goods.kinds.common(self.goods.kind),
            "weight": pa.array(self.topics.weight),
        }
        return {"intents": pa.table(served), "topics": pa.table(types)}


def only(codes: Ints, where: Bools) -> Ints:
    """The codes, -1 elsewhere."""
    return np.where(where, codes, -1).astype(np.int32)


def make_topics(seed: int, goods: Range, stocked: Bools) -> Topics:
    """Types by how often they are wanted; those of a category, and of a department, attract the same users."""
    rng = stream(seed, "topics")

    def vectors(count: int) -> Floats:
        return rng.standard_normal((count, DIM), np.float32) / np.float32(np.sqrt(DIM))

    by_department = vectors(len(goods.departments.count))[goods.department]
    by_noun = vectors(len(goods.nouns.count))[goods.noun]
    own = vectors(len(goods.weight))
    return Topics(goods.weight * stocked, 0.7 * by_department + 0.6 * by_noun + np.float32(0.3) * own)


def make_intents(goods: Range) -> tuple[Ints, Bools]:
    """The use code of each intent, and [intents, categories]: which categories serve it."""
    use_codes = {first(name): code for code, name in enumerate(goods.use_names)}
    noun_codes = {name: code for code, name in enumerate(goods.nouns.firsts.to_pylist())}
    serves = np.zeros((len(INTENTS), len(noun_codes)), bool)
    for row, intent in enumerate(INTENTS):
        serves[row, [noun_codes[noun] for noun in names(intent.nouns)]] = True
    return np.array([use_codes[intent.use] for intent in INTENTS], np.int32), serves


def with_typos(rng: np.random.Generator, texts: pa.Array, share: float) -> pa.Array:
    """The texts, a share of them with one character left out or hit wrongly."""
    hit = rng.random(len(texts)) < share
    position = rng.integers(TYPO_POSITIONS.start, TYPO_POSITIONS.stop, len(texts))
    left_out = rng.random(len(texts)) < 0.6
    for at in TYPO_POSITIONS:
        for out, replacement in ((True, ""), (False, "e")):
            rows = pa.array(hit & (position == at) & (left_out == out))
            texts = pc.if_else(rows, pc.utf8_replace_slice(texts, at, at + 1, replacement), texts)
    return texts
