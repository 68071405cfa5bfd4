"""Every setting of Shelfwise, in one place.

A setting comes from the environment (``SHELFWISE_TRAINING__EPOCHS=3``), else from ``shelfwise.toml`` in the working
folder, else from the default below; every default works on a laptop.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import tomllib
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from infra.settings_errors import FILE, NESTED, PREFIX, refuse_broken_file, refuse_unknown_names

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class Group(BaseModel):
    """A group of settings: immutable, and a misspelt name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


RECIPES = Path(__file__).with_name("recipes")


def read_recipe(name: str) -> dict[str, Any]:
    """A recipe's settings of the group ``training``; an unknown name gives none, and the settings say what is wrong."""
    file = RECIPES / f"{name}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def merged(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """``defaults`` with ``given`` on top, group by group: a group of which one setting is given keeps the others."""
    result = dict(defaults)
    for name, value in given.items():
        # A group given as an object says as much as was set in it; the rest of it is not what somebody chose.
        group = value.model_dump(exclude_unset=True) if isinstance(value, Group) else value
        below = result.get(name)
        result[name] = merged(below, group) if isinstance(below, dict) and isinstance(group, dict) else value
    return result


class DemoSettings(Group):
    """The demo shop, which makes raw sessions where none are given."""

    seed: int = 7
    """Seed of everything that is drawn."""
    start: date = date(2026, 3, 1)
    """First day."""
    days: Count = 30
    """Days of logs."""
    users: Count = 5_000
    """People who search."""
    items: Count = 20_000
    """Items of the catalogue on the first day."""
    new_items_per_day: int = Field(20, ge=0)
    """Items that join the catalogue each day."""
    requests_per_user_day: float = Field(0.8, gt=0)
    """Searches of a user on a day, at the mean."""
    shown_per_request: Count = 20
    """Items shown in a request."""
    judged_held_out: Share = 0.34
    """Share of the judged queries that get no sessions, over a given catalogue and judgements."""
    taste_strength: float = Field(1.0, ge=0)
    """How much a user's hidden taste moves clicks and orders. 0: everybody clicks alike."""
    taste_drift: Share = 0.05
    """Share of a taste that is drawn anew each day."""
    typo_share: Share = 0.05
    """Share of the queries with a typing error."""
    lost_query_id_share: Share = 0.5
    """Share of the cart and purchase events without a query id: checkouts often do not know the search."""
    anonymous_share: Share = 0.1
    """Share of the users who never log in: only their client id is in the logs."""


Meaning = Literal["impression", "click", "cart", "order", "ignore"]
ACTIONS: dict[str, Meaning] = {
    "impression": "impression",
    "view": "impression",
    "click": "click",
    "item_click": "click",
    "product_click": "click",
    "add_to_cart": "cart",
    "cart": "cart",
    "purchase": "order",
    "order": "order",
    "buy": "order",
    "search": "ignore",
    "on_search": "ignore",
    "product_hover": "ignore",
    "item_hover": "ignore",
    "page_exit": "ignore",
    "page_view": "ignore",
    "login": "ignore",
    "logout": "ignore",
    "scroll": "ignore",
    "type_filter": "ignore",
    "brand_filter": "ignore",
    "filter": "ignore",
    "sort": "ignore",
    "product_sort": "ignore",
    "remove_from_cart": "ignore",
}


GUEST_IDS = ("0", "-1", "null", "none", "undefined", "nan", "nil", "guest", "anonymous", "anon", "unknown", "n/a", "-",
             "00000000-0000-0000-0000-000000000000")  # fmt: skip


def action_key(name: str) -> str:
    """How action names are compared: ``Add-to Cart`` and ``add_to_cart`` are one."""
    return re.sub(r"[\s_-]", "", name.lower())


class RawSettings(Group):
    """Reading UBI logs: what an action means, and when a day is held."""

    actions: dict[str, Meaning] = ACTIONS
    """UBI action name -> what it is. Names are compared without case, blanks, hyphens and underscores. What you set
    comes on top of ``ACTIONS``; rows of an action that is not listed are left out, counted and named."""
    attribution_window: timedelta = timedelta(hours=2)
    """An order or cart belongs to the user's last request that showed the item, at most this long before it."""
    late_window: timedelta = timedelta(days=7)
    """A row older than its landing day by more than this goes to quarantine; a younger one counts from its arrival."""
    ahead_window: timedelta = timedelta(days=1)
    """A row that claims to be later than the end of its landing day by more than this goes to quarantine."""
    max_bad_share: Share = 0.05
    """A day with a larger share of quarantined rows is held: nothing of it is used until it is run again."""
    max_bad_action_share: Share = 0.5
    """A day is held as well where a larger share of one action's rows (impressions, clicks, carts or orders) is
    quarantined, however few they are; never stricter than ``max_bad_share``."""
    min_action_rows: Count = 2
    """Rows of an action from which ``max_bad_action_share`` judges it: one bad row alone holds no day."""
    guest_ids: tuple[str, ...] = GUEST_IDS
    """User and client ids (any case) that many people share: they name nobody."""
    item_id: str | None = None
    """Column of the catalogue whose ids the log names. None: the first of the usual names that every row has."""
    encoding: str | None = None
    """Encoding of text files without a byte-order mark, such as ``cp1251``. None: UTF-8, and for a file that is not
    UTF-8 the one that charset-normalizer finds likeliest, which the reports name."""

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            b"a".decode(value)
            return codecs.lookup(value).name
        except LookupError as error:
            raise ValueError(f"{value!r} is no text encoding that Python knows, such as utf-8 or cp1251") from error

    @field_validator("actions", mode="before")
    @classmethod
    def _on_top_of_the_known_ones(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        given = {str(name).strip().lower(): meaning for name, meaning in value.items()}
        spelt = {action_key(name) for name in given}
        return {name: meaning for name, meaning in ACTIONS.items() if action_key(name) not in spelt} | given

    @field_validator("guest_ids")
    @classmethod
    def _in_lower_case(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(text.strip().lower() for text in value)


class FeatureSettings(Group):
    """Windows and lengths of the features."""

    history_days: Count = 90
    """How far back the features of a day look."""
    recent_queries: Count = 5
    """Queries kept of a user, the newest."""
    recent_items: Count = 10
    """Clicked items kept of a user, the newest."""
    recent_orders: Count = 10
    """Ordered items kept of a user, the newest."""
    ordered_tags: Count = 20
    """Tags of ordered items that the query tower reads."""
    top_items: Count = 20
    """Graph neighbours kept per query."""
    snapshot_hours: int | None = Field(None, ge=1, le=24)
    """How often item and query statistics are stamped. None: daily, and hourly where the log has under three days."""
    user_ttl: timedelta = timedelta(days=90)
    """Features of a user older than this, at the time of a request, count as unknown."""
    item_ttl: timedelta = timedelta(days=30)
    """The same for items."""
    query_ttl: timedelta = timedelta(days=30)
    """The same for queries."""
    rate_prior: float = Field(20.0, gt=0)
    """Impressions that the shop-wide rate counts for in an item's smoothed click and order rate."""
    stage_weights: dict[str, float] = {"clicked": 1.0, "carted": 2.0, "ordered": 4.0}
    """Weight of an interaction in the query-item graph."""
    build_memory: str = "2GB"
    """What DuckDB may hold in memory while it builds features and the training set; beyond it, it spills to disk."""
    build_days: Count = 31
    """Days whose features are built by one query."""


class PretrainingSettings(Group):
    """Text encoders that are trained on the shop's own text, from scratch: small, so that two cores suffice."""

    checkpoint: str | None = None
    """Folder or hub name of a checkpoint to resume from; None: a small configuration from scratch."""
    vocabulary: int = Field(8_000, ge=300)
    """Tokens of the vocabulary: the 256 bytes and the special ones are always in it."""
    width: Count = 128
    """Width of the layers."""
    layers: Count = 4
    """Transformer layers."""
    heads: Count = 4
    """Attention heads per layer."""
    steps: Count = 1_000
    """Training steps."""
    batch_size: Count = 64
    """Texts per step."""
    learning_rate: Positive = 1e-3
    """Highest learning rate."""


class QualityPriorSettings(Group):
    """Quality prior inside the index (UEPPR's "product boosting")."""

    on: bool = True
    """Look for weights at all."""
    trials: Count = 40
    """Optuna trials of the search for the weights."""
    max_weight: Positive = 0.2
    """Largest weight of a quality feature, which lies in [0, 1], beside a cosine."""
    least_relevance: Share = 0.97
    """Weights that take the mean cosine of the first ten hits below this share of what it was are refused."""
    candidates: Count = 500
    """Nearest items of each request that a trial ranks again; the weights that win are measured on all items."""
    requests: Count = 4_000
    """Most requests that the search reads."""
    least_requests: Count = 50
    """Without this many requests in each half, one to fit and one to confirm, there are no weights."""
    least_gain: NonNegative = 1.64
    """Standard errors by which recall must rise on the half that confirms."""


ItemField = Literal["title", "category", "category_words", "attributes", "attribute_words", "description"]
Ngram = Literal["words", "pairs", "trigrams"]
Ramp = tuple[NonNegative, NonNegative]
"""Weight at the first step and at the end of the schedule; it moves linearly between them."""


class TrainingSettings(Group):
    """Training set, encoders, objectives, negatives, and the run itself.

    The defaults of a model are its recipe's, a file of ``infra/recipes``; what is set here or by you comes on top of
    it. Each default is a declared choice of ours unless a paper is named.
    """

    recipe: Literal["shelfwise", "mmse", "ueppr"] = "shelfwise"
    """File of ``infra/recipes`` that the other defaults come from."""
    seed: int = 7
    """Seed of initial weights and of all draws."""

    train_days: Count = 60
    """Days of requests that are learned from, before those that validate."""
    validation_days: Count = 1
    """Latest days, whose requests choose the epoch and judge it."""
    validation_share: Share = 0.2
    """Share of the requests, the latest, that validate where the log has too few days for whole validation days."""
    random_per_request: Count = 4
    """Random items per request in the training set."""
    unclicked_per_request: Count = 20
    """Unclicked impressions kept per request (the first by position)."""

    fields: tuple[ItemField, ...] = get_args(ItemField)
    """Field groups of an item that the term encoder reads, where the catalogue fills them."""
    ngrams: tuple[Ngram, ...] = ("words", "pairs", "trigrams")
    """What a text is cut into: words, pairs of neighbouring words, trigrams of letters."""
    buckets: Count = 2**17
    """Rows of the shared hashed embedding table."""
    token_dim: Count = 64
    """Width of a token's embedding."""
    dim: Count = 128
    """Width of the learned part of query and item vectors (a sister paper of MMSE: 128)."""
    hidden: Count = 256
    """Width of the towers' hidden layers."""
    max_query_tokens: Count = 64
    """Tokens kept of a query."""
    max_item_tokens: Count = 256
    """Tokens kept of each field group of an item."""
    price_buckets: Count = 10
    """Quantile buckets that a price is read as."""
    least_queries_per_token: Count = 3
    """Distinct training queries that share a token before the query tower's layers read it."""
    shared_words: bool = True
    """One projection of words for queries and items: texts that share words start close."""
    shared_taste: bool = True
    """One projection of labels (brand, price, colour) for items and for the items of a history."""

    text_encoder: Literal["none", "minilm", "t5", "mlm"] = "none"
    """``minilm``: a pretrained sentence encoder; ``t5``: the encoder of a T5 that was trained on this shop to write
    the query an item is ordered by (UEPPR); ``mlm``: a 4-layer Transformer pre-trained on this shop's text (MMSE)."""
    text_in_query: bool = False
    """The text encoder reads the query as well, not items alone."""
    text_dim: Count = 128
    """Width of the text part of query and item vectors, where both have one."""
    text_fusion: Literal["scores", "features"] = "scores"
    """``scores``: query and item text meet in a part of the vectors of their own, and the scores add up;
    ``features``: the text goes through the towers' layers with everything else (MMSE's post-fusion, reading ii)."""
    text_tokens: Count = 64
    """Tokens that a text encoder reads of a text."""
    pretraining: PretrainingSettings = PretrainingSettings()

    graph: bool = True
    """Items also learn from queries that led to them before."""
    graph_neighbours: Count = 5
    """Neighbour queries sampled per item in a step."""
    graph_kept: Count = 32
    """Heaviest neighbour queries of an item that its final vector is made of."""
    graph_leave_out: Share = 0.5
    """Share of the items of a step whose neighbours leave out the query that they are to be found by (UEPPR: all)."""
    graph_dropout: Share = 0.3
    """Share of the items of a step that are trained as new items, without interactions."""
    location: bool = True
    """Read where users and items are, where the data says so."""
    scalars: bool = True
    """Quantile-transformed figures of items (price, rating, age, rates), users and queries."""
    history: Literal["none", "mean", "transformer"] = "transformer"
    """How the query tower reads a user: means, or a Transformer layer over query, searches and brands (UEPPR)."""
    history_dropout: Share = 0.1
    """Share of the examples that are trained with an unknown user, so that unknown users work well."""

    query_dropout: Share = 0.15
    """Share of the examples whose query is trained as one never asked, out of the vocabulary, where
    the text encoder reads queries, so that unknown queries work well."""

    weight_click: NonNegative = 1.0
    """Clicked items over negatives (MMSE)."""
    weight_unclicked: NonNegative = 0.2
    """Unclicked items over negatives (MMSE)."""
    weight_click_over_unclicked: NonNegative = 1.0
    """Clicked items over unclicked ones of the same request (MMSE)."""
    weight_order_over_unclicked: NonNegative = 1.0
    """Ordered items over unclicked ones of the same request (MMSE)."""
    weight_fused: NonNegative = 0.0
    """One softmax over the scores of all stages together (MMSE's post-fusion, reading i)."""
    weight_multi_part_hinge: NonNegative = 0.0
    """UEPPR's hinge with a threshold per stage."""
    temperature: Positive = 1 / 30
    """Softmax temperature (a sister paper of MMSE: 1/30)."""
    click_margin: NonNegative = 0.1
    """Margin by which a clicked item is to lead an unclicked one."""
    order_margin: NonNegative = 0.2
    """Margin by which an ordered item is to lead an unclicked one."""
    threshold_ordered: float = 0.8
    """Multi-part hinge: scores of ordered items are pushed above this."""
    threshold_clicked: float = 0.6
    """Multi-part hinge: scores of clicked items are pushed above this."""
    threshold_unclicked: float = 0.3
    """Multi-part hinge: scores of unclicked items are pushed above this."""
    threshold_negative: float = 0.2
    """Thresholds of the multi-part hinge: scores of a stage are pushed above its own, those of negatives below the
    last."""

    in_batch: Ramp = (1.0, 1.0)
    """Weight of the other requests' clicked items as negatives."""
    uniform: Ramp = (1.0, 1.0)
    """Weight of uniform draws from the catalogue."""
    hard_in_batch: Ramp = (0.0, 0.0)
    """Weight of the most similar of the other requests' clicked items."""
    dynamic: Ramp = (0.0, 0.0)
    """Weight of the most similar of a large random batch, by the towers as they are."""
    ramp_share: Share = 0.5
    """Share of the steps over which these weights move from their first to their last value."""
    hard_in_batch_kept: Count = 16
    """Most similar in-batch negatives kept per request."""
    dynamic_kept: Count = 16
    """Most similar negatives kept per request of the large random batch."""
    unclicked_per_step: Count = 2
    """Unclicked items drawn per request in a step."""
    uniform_per_step: Count = 1
    """Uniform negatives that each request adds to those all requests of a batch share."""

    start: Literal["scratch", "live"] = "scratch"
    """``live``: from the weights of the release that serves, where they fit (the nightly run)."""
    batch_size: Count = 512
    """Requests per step, over all processes together."""
    epochs: Count = 6
    """Most passes over the training set."""
    learning_rate: Positive = 2e-3
    """Highest learning rate."""
    weight_decay: NonNegative = 1e-5
    """Weight decay of the optimiser."""
    least_steps: Count = 40
    """An epoch has at least so many steps: a small log is read several times in one."""
    patience: Count = 2
    """Epochs without a better validation recall before training stops."""
    stopping_share: Share = 0.25
    """Share of the validation users whose requests choose the epoch; the others' judge it."""
    validation_requests: Count = 4_000
    """Validation requests that are searched after each epoch."""
    checkpoint_steps: Count = 200
    """Steps between checkpoints, from which a killed run resumes."""
    threads: Count = 2
    """Threads of torch on a CPU."""
    prefetch: Count = 2
    """Batches that are made while a step computes."""
    mixed_precision: bool = True
    """bfloat16 where the device is a GPU."""
    compile: bool = False
    """``torch.compile`` the towers' layers: pays on a GPU."""
    device: str = "auto"
    """``auto``: a GPU where there is one; else a name that torch knows, such as ``cpu``."""
    build_memory: str = "2GB"
    """What DuckDB may hold in memory while it turns the training set into arrays."""
    quality_prior: QualityPriorSettings = QualityPriorSettings()

    @model_validator(mode="before")
    @classmethod
    def _on_top_of_the_recipe(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return merged(read_recipe(value.get("recipe", "shelfwise")), value)


IndexType = Literal["FLAT", "HNSW", "IVF_FLAT", "PQ_FASTSCAN"]


class IndexSettings(Group):
    """The vector index."""

    uri: str | None = None
    """A Milvus server; None: an embedded milvus-lite, shared by processes."""
    token: SecretStr | None = None
    """Token of the Milvus server."""
    search: Literal["auto", "memory", "milvus"] = "auto"
    """Who answers searches of the live collection: FAISS in this process over its vectors, or Milvus. ``auto``: memory
    for the embedded Milvus, which needs 10 ms for 20,000 items where FAISS needs 0.3; a server answers by itself."""
    index_type: Literal["auto"] | IndexType = "auto"
    """``auto``: the fastest that loses at most ``max_recall_loss``, as measured on each candidate's own vectors.
    ``FLAT`` is exact; ``PQ_FASTSCAN`` is FAISS's product quantization with codes of 4 bits and exact re-rank."""
    max_recall_loss: Share = 0.01
    """Share of exact search's items that the index may miss at 100 and at 1,000: a bound of the tuner and a gate."""
    tuning_trials: Count = 24
    """Most settings of an index that are measured."""
    tuning_queries: Count = 200
    """Real requests that each trial searches for, one by one."""
    kept_releases: Count = 3
    """Releases kept on disk; live and the one before always are."""

    @property
    def searched_by(self) -> Literal["memory", "milvus"]:
        """Who answers searches, ``auto`` resolved."""
        if self.search != "auto":
            return self.search
        return "memory" if self.uri is None else "milvus"

    @model_validator(mode="after")
    def _milvus_has_the_type(self) -> Self:
        if self.index_type == "PQ_FASTSCAN" and self.searched_by == "milvus":
            raise ValueError("index_type PQ_FASTSCAN is searched in memory only: set index.search to memory, or HNSW")
        return self


class OnlineSettings(Group):
    """The online store."""

    redis_url: SecretStr | None = None
    """``redis://[:password@]host:port/db``; None: an embedded server, shared by processes."""
    timeout_ms: Count = 50
    """Longest wait for a round trip to the online store."""
    session_events: Count = 200
    """Events kept per user between two batches, the newest: beyond it, counts of the session stop growing."""
    session_ttl: timedelta = Field(timedelta(days=3), ge=timedelta(seconds=1))
    """How long a user's recorded events outlive the last one: through a night or two whose batch failed."""


class ServingSettings(Group):
    """Online retrieval."""

    max_k: Count = 10_000
    """Most hits of a request."""
    max_query_chars: Count = 1_000
    """Longest query."""
    refresh_seconds: float = Field(2.0, gt=0)
    """How often a warm retriever looks whether another release went live, or whether what was away is back."""
    index_timeout_ms: Count = 1_000
    """Longest that a request waits for Milvus, where that searches, before the exact search in memory answers."""
    deadline_ms: Count = 250
    """Longest that a request waits for others in all: what the online store (``online.timeout_ms`` per round trip) left
    of it bounds the wait for Milvus."""
    store_retry_seconds: float = Field(1.0, gt=0)
    """How long an online store that failed three times in a row is left alone."""
    cache_size: int = Field(4_096, ge=0)
    """Entries of each cache; 0: no caches."""
    user_cache_seconds: float = Field(0.5, gt=0)
    """How long the features of a user (or session) stand: what another process records is seen after this."""
    context_cache_seconds: float = Field(600.0, gt=0)
    """How long query features, and the answer to a context (release, query, history, filters), stand."""
    workers: Count = 4
    """Threads that answer asynchronous calls."""
    threads: Count = 1
    """Threads of torch in a serving process."""
    min_score: float | None = Field(None, ge=-1, le=1)
    """Hits whose score before the boost, the cosine of query and item vector, is below this are left out. The
    thresholds of the multi-part hinge (``training.threshold_*``) are such scores: above ``threshold_negative`` lies
    what training held to be no mere chance. None: off."""


class ApiSettings(Group):
    """HTTP API and search page."""

    host: str = "127.0.0.1"
    """Where it listens. Beyond loopback it needs ``key``, or ``allow_open``."""
    port: int = Field(8000, ge=0, le=65_535)
    """Port that it listens on; 0: a free one."""
    key: SecretStr | None = Field(None, min_length=1)
    """Callers send it as ``Authorization: Bearer KEY``. None: open to whoever reaches the port."""
    allow_open: bool = False
    """Listen beyond loopback without a key."""
    proxies: tuple[str, ...] = ()
    """Addresses of reverse proxies whose ``X-Forwarded-For`` names the client that a rate is kept for."""
    max_k: Count = 1_000
    """Most hits of a request over HTTP."""
    max_body_bytes: Count = 65_536
    """Largest body of a request."""
    rate_per_second: NonNegative = 50.0
    """Requests per client and second in the long run; 0: any number."""
    rate_burst: Count = 100
    """Requests that a client may send at once after a pause."""
    threads: Count = 8
    """Requests that are worked on at a time."""
    max_waiting: Count = 256
    """Requests that wait for a thread; the next ones are told to come back."""
    shutdown_seconds: Count = 30
    """Longest that requests in flight are waited for when the server stops."""
    sample_users: int = Field(8, ge=0)
    """User ids that the search page offers to try, where this machine has features; 0: none."""
    log_queries: bool = False
    """Query text and user ids in the request log."""


class UiSettings(Group):
    """Pages that `shelfwise ui` opens, on loopback."""

    port: int = 3000
    """Port of Dagster's pages."""
    docs_port: int = 3001
    """Data Docs of the checks: a browser follows no link from the UI to a file."""


class CheckSettings(Group):
    """Bounds of the data checks."""

    min_volume_share: Share = 0.3
    """A day below this share of the median of the days before it fails."""
    max_volume_ratio: float = Field(5.0, gt=1)
    """A day above this multiple of the median of the days before it fails."""
    min_unclicked_share: Share = 0.2
    """A day with a smaller share of unclicked impressions fails: impressions are probably missing."""
    max_unknown_item_share: Share = 0.05
    """A day with a larger share of items that are not in the catalogue fails."""
    max_odd_item_share: Share = 0.05
    """Of items that say nothing about themselves, or have a negative price or rating."""
    max_anonymous_share: Share = 1.0
    """A day with a larger share of requests without a user fails: there is too little to personalize from."""
    kept_validations: Count = 60
    """Validations per suite that Data Docs keeps: with a check per day, the last two months."""


class GateSettings(Group):
    """What a new release has to reach to go live; the rules are in ``training.release.gates``."""

    max_drop: Share = 0.1
    """Recall@100 below live's, BM25's or popularity's by more than this blocks, proven or not; with under 100 requests
    the allowed drop is one over their root."""
    max_slice_drop: Share = 0.05
    """A slice whose recall@100 surely falls by more than this against live blocks."""
    min_slice_requests: Count = 50
    """A slice with fewer requests says too little to block."""


def same_landing(landing: str | None) -> str | None:
    """A landing folder or URL by its one name: ``/logs/``, ``/logs/.`` and ``file:///logs`` are ``/logs``."""
    if not landing:
        return landing
    if landing.startswith("file://"):
        landing = landing.removeprefix("file://")
    if "://" in landing or "::" in landing:
        return landing.rstrip("/")
    return os.path.normpath(landing)


class Settings(BaseSettings):
    """All settings. ``Settings()`` reads the environment and ``shelfwise.toml``."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=NESTED, toml_file=FILE, frozen=True, extra="forbid"
    )

    home: Path = Path(".shelfwise")
    """All that Shelfwise writes lies here, a folder per shop."""
    landing: str | None = None
    """Folder or fsspec URL with ``dt=YYYY-MM-DD`` days and a catalogue; None: the demo shop makes them."""
    shop: str | None = None
    """Name of the shop; None: the last part of ``landing``, or ``demo``."""
    demo: DemoSettings = DemoSettings()
    raw: RawSettings = RawSettings()
    features: FeatureSettings = FeatureSettings()
    training: TrainingSettings = TrainingSettings()
    index: IndexSettings = IndexSettings()
    online: OnlineSettings = OnlineSettings()
    serving: ServingSettings = ServingSettings()
    checks: CheckSettings = CheckSettings()
    gates: GateSettings = GateSettings()
    ui: UiSettings = UiSettings()
    api: ApiSettings = ApiSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        refuse_unknown_names(os.environ, settings_cls.model_fields)
        refuse_broken_file(Path(FILE))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @field_validator("landing")
    @classmethod
    def _one_folder_has_one_name(cls, value: str | None) -> str | None:
        return same_landing(value)

    @property
    def shop_name(self) -> str:
        """Name of the shop, safe as a folder's name."""
        name = self.shop or (self.landing.rstrip("/").rsplit("/", 1)[-1] if self.landing else "demo")
        return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "shop"

    @property
    def project(self) -> str:
        """Name of the shop where shops share a server, on its keys in Redis and its collections in Milvus. It ends in a
        hash: a scan for Redis keys, which end in it, must not find those of ``my_shop`` for ``shop``."""
        digest = hashlib.sha256(self.shop_name.encode()).hexdigest()[:8]
        return f"shelfwise_{re.sub('[^A-Za-z0-9]', '_', self.shop_name)[:100]}_{digest}"

    @property
    def paths(self) -> Paths:
        return Paths(self.home.expanduser().resolve() / self.shop_name)


class Paths:
    """Where each thing lies under a shop's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.landing = root / "landing"
        """Logs that the demo shop makes (a given landing folder is never written to)."""
        self.truth = root / "truth"
        """The demo shop's hidden truth, for evaluation only."""
        self.catalog = root / "catalog" / "items.parquet"
        self.sessions = root / "sessions"
        """``{requests,impressions,events}/dt=YYYY-MM-DD/part.parquet``: accepted days."""
        self.quarantine = root / "quarantine"
        """``dt=YYYY-MM-DD/part.parquet``: rows that were refused, each with its reason."""
        self.reports = root / "reports"
        """``sessions/YYYY-MM-DD.json`` and other small results."""
        self.features = root / "features"
        """``{user,item,query}/dt=YYYY-MM-DD/part.parquet``."""
        self.feast = root / "feast"
        self.training_set = root / "training_set"
        self.training = root / "training"
        """Arrays, checkpoints and the candidate model of the run in progress."""
        self.releases = root / "releases"
        self.data_docs = root / "data_docs"
        self.services = root / "services"
        """Embedded Redis and Milvus: data, logs, process ids."""
        self.dagster = root / "dagster"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
