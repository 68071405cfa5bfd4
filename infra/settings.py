"""Every setting of Shelfwise, in one place.

A setting comes from the environment (``SHELFWISE_TRAINING__EPOCHS=3``), else from ``shelfwise.toml`` in the working
folder, else from the default below; every default works on a laptop.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class Group(BaseModel):
    """A group of settings: immutable, and a misspelt name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DemoSettings(Group):
    """The demo shop, which makes raw sessions where none are given."""

    seed: int = 7
    start: date = date(2026, 3, 1)
    days: Count = 30
    users: Count = 5_000
    items: Count = 20_000
    new_items_per_day: int = Field(20, ge=0)
    requests_per_user_day: float = Field(0.8, gt=0)
    shown_per_request: Count = 20
    judged_held_out: Share = 0.34
    """Share of the judged queries that get no sessions, over a given catalogue and judgements."""
    taste_strength: float = Field(1.0, ge=0)
    """How much a user's hidden taste moves clicks and orders. 0: everybody clicks alike."""
    taste_drift: Share = 0.05
    """Share of a taste that is drawn anew each day."""
    typo_share: Share = 0.05
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


class RawSettings(Group):
    """Reading UBI logs: what an action means, and when a day is held."""

    actions: dict[str, Meaning] = ACTIONS
    """UBI action name (lower case) -> what it is. What you set comes on top of ``ACTIONS``; an action that is not
    listed goes to quarantine."""
    attribution_window: timedelta = timedelta(hours=2)
    """An order or cart belongs to the user's last request that showed the item, at most this long before it."""
    late_window: timedelta = timedelta(days=7)
    """A row older than its landing day by more than this goes to quarantine; a younger one counts from its arrival."""
    ahead_window: timedelta = timedelta(days=1)
    """A row that claims to be later than the end of its landing day by more than this goes to quarantine."""
    max_bad_share: Share = 0.05
    """A day with a larger share of quarantined rows is held: nothing of it is used until it is run again."""

    @field_validator("actions", mode="before")
    @classmethod
    def _on_top_of_the_known_ones(cls, value: Any) -> Any:
        return {**ACTIONS, **value} if isinstance(value, dict) else value


class FeatureSettings(Group):
    """Windows and lengths of the features."""

    history_days: Count = 90
    """How far back the features of a day look."""
    recent_queries: Count = 5
    recent_items: Count = 10
    recent_orders: Count = 10
    top_items: Count = 20
    """Graph neighbours kept per query."""
    snapshot_hours: int | None = Field(None, ge=1, le=24)
    """How often item and query statistics are stamped. None: daily, and hourly where the log has under three days."""
    user_ttl: timedelta = timedelta(days=90)
    item_ttl: timedelta = timedelta(days=30)
    query_ttl: timedelta = timedelta(days=30)
    rate_prior: float = Field(20.0, gt=0)
    """Impressions that the shop-wide rate counts for in an item's smoothed click and order rate."""
    stage_weights: dict[str, float] = {"clicked": 1.0, "carted": 2.0, "ordered": 4.0}
    """Weight of an interaction in the query-item graph."""
    build_memory: str = "2GB"
    """What DuckDB may hold in memory while it builds features and the training set; beyond it, it spills to disk."""
    build_days: Count = 31
    """Days whose features are built by one query."""


class TrainingSettings(Group):
    """Training set, towers, objectives. Each default is a declared choice of ours unless a paper is named."""

    seed: int = 7
    train_days: Count = 60
    validation_days: Count = 1
    validation_share: Share = 0.2
    """Share of the requests, the latest, that validate where the log has too few days for whole validation days."""
    random_per_request: Count = 4
    unclicked_per_request: Count = 20
    """Unclicked impressions kept per request (the first by position)."""
    buckets: Count = 2**17
    """Rows of the shared hashed embedding table."""
    token_dim: Count = 64
    dim: Count = 128
    """Width of query and item vectors (a sister paper of MMSE: 128)."""
    hidden: Count = 256
    temperature: float = Field(1 / 30, gt=0)
    """Softmax temperature (a sister paper of MMSE: 1/30)."""
    click_margin: float = Field(0.1, ge=0)
    order_margin: float = Field(0.2, ge=0)
    weight_click: float = Field(1.0, ge=0)
    weight_unclicked: float = Field(0.2, ge=0)
    weight_click_over_unclicked: float = Field(1.0, ge=0)
    weight_order_over_unclicked: float = Field(1.0, ge=0)
    unclicked_per_step: Count = 2
    """Unclicked items drawn per request in a step."""
    uniform_per_step: Count = 1
    """Uniform negatives that each request adds to those all requests of a batch share."""
    history_dropout: Share = 0.1
    """Share of the examples that are trained as if nobody knew the user, so that unknown users work well."""
    batch_size: Count = 512
    epochs: Count = 6
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-5, ge=0)
    least_steps: Count = 100
    """An epoch has at least so many steps: a small log is read several times in one."""
    patience: Count = 2
    """Epochs without a better validation recall before training stops."""
    stopping_share: Share = 0.25
    """Share of the validation users whose requests choose the epoch; the others' judge it."""
    validation_requests: Count = 4_000
    """Validation requests that are searched after each epoch."""
    threads: Count = 2
    max_query_tokens: Count = 64
    max_item_tokens: Count = 256
    """Tokens kept of each field group of an item."""
    price_buckets: Count = 10
    build_memory: str = "2GB"
    """What DuckDB may hold in memory while it turns the training set into arrays."""
    device: str = "auto"


class IndexSettings(Group):
    """The vector index."""

    uri: str | None = None
    """A Milvus server; None: an embedded milvus-lite, shared by processes."""
    token: SecretStr | None = None
    index_type: Literal["FLAT", "HNSW", "IVF_FLAT"] = "FLAT"
    kept_releases: Count = 3


class OnlineSettings(Group):
    """The online store."""

    redis_url: SecretStr | None = None
    """``redis://[:password@]host:port/db``; None: an embedded server, shared by processes."""
    timeout_ms: Count = 50


class ServingSettings(Group):
    """Online retrieval."""

    max_k: Count = 10_000
    max_query_chars: Count = 1_000
    refresh_seconds: float = Field(2.0, gt=0)
    """How often a warm retriever looks whether another release went live, or whether what was away is back."""
    index_timeout_ms: Count = 1_000
    """Longest that a request waits for Milvus before the exact search in memory answers."""
    threads: Count = 1


class UiSettings(Group):
    """Pages that `shelfwise ui` opens, on loopback."""

    port: int = 3000
    docs_port: int = 3001
    """Data Docs of the checks: a browser follows no link from the UI to a file."""


class CheckSettings(Group):
    """Bounds of the data checks."""

    min_volume_share: Share = 0.3
    """A day below this share of the median of the days before it fails."""
    max_volume_ratio: float = Field(5.0, gt=1)
    min_unclicked_share: Share = 0.2
    max_unknown_item_share: Share = 0.05
    max_odd_item_share: Share = 0.05
    """Of items that say nothing about themselves, or have a negative price or rating."""
    max_anonymous_share: Share = 1.0
    """A day with a larger share of requests without a user fails: there is too little to personalize from."""
    kept_validations: Count = 60
    """Validations per suite that Data Docs keeps: with a check per day, the last two months."""


class Settings(BaseSettings):
    """All settings. ``Settings()`` reads the environment and ``shelfwise.toml``."""

    model_config = SettingsConfigDict(
        env_prefix="SHELFWISE_", env_nested_delimiter="__", toml_file="shelfwise.toml", frozen=True, extra="forbid"
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
    ui: UiSettings = UiSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def shop_name(self) -> str:
        """Name of the shop, safe as a folder's name."""
        name = self.shop or (self.landing.rstrip("/").rsplit("/", 1)[-1] if self.landing else "demo")
        return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "shop"

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
