"""Every setting of Shelfwise: a module per component, composed here into ``Settings``. Import from here.

A setting comes from the environment (``SHELFWISE_TRAINING__EPOCHS=3``), else from ``.env`` in the working folder, else
from a folder of secrets, else from ``shelfwise.toml`` in the working folder, else from its default, which for
``training`` a recipe gives; every default works on a laptop.
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import lru_cache
from pathlib import Path

from pydantic import field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from infra.settings.api import ApiSettings
from infra.settings.bots import BotSettings
from infra.settings.checks import CheckSettings
from infra.settings.demo import DemoSettings
from infra.settings.errors import (
    ENV_FILE,
    FILE,
    NESTED,
    PREFIX,
    in_words,
    read_env_file,
    refuse_broken_file,
    refuse_unknown_names,
    secret_names,
    secrets_dir,
)
from infra.settings.features import FeatureSettings
from infra.settings.gates import GateSettings
from infra.settings.index import IndexSettings, IndexType
from infra.settings.items import ItemSettings
from infra.settings.log import LogSettings
from infra.settings.night import NightSettings
from infra.settings.online import OnlineSettings
from infra.settings.paths import Paths, same_landing
from infra.settings.pretraining import PretrainingSettings
from infra.settings.quality_prior import QualityPriorSettings
from infra.settings.raw import ACTIONS, GUEST_IDS, Meaning, RawSettings, action_key
from infra.settings.releases import ReleaseSettings
from infra.settings.serving import ServingSettings
from infra.settings.tables import TableSettings
from infra.settings.tracing import TracingSettings
from infra.settings.training import ItemField, Ngram, Ramp, TrainingSettings
from infra.settings.ubi_log import UbiLogSettings
from infra.settings.ui import UiSettings
from infra.settings.webhook import WebhookFormat, WebhookSettings

__all__ = [
    "ACTIONS",
    "GUEST_IDS",
    "ApiSettings",
    "BotSettings",
    "CheckSettings",
    "DemoSettings",
    "FeatureSettings",
    "GateSettings",
    "IndexSettings",
    "IndexType",
    "ItemField",
    "ItemSettings",
    "LogSettings",
    "Meaning",
    "Ngram",
    "NightSettings",
    "OnlineSettings",
    "Paths",
    "PretrainingSettings",
    "QualityPriorSettings",
    "Ramp",
    "RawSettings",
    "ReleaseSettings",
    "ServingSettings",
    "Settings",
    "TableSettings",
    "TracingSettings",
    "TrainingSettings",
    "UbiLogSettings",
    "UiSettings",
    "WebhookFormat",
    "WebhookSettings",
    "action_key",
    "get_settings",
    "in_words",
    "same_landing",
]

A_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(:|/)")
"""How a URL begins, also once ``Path`` has taken one of its slashes; no drive of Windows does."""


class Settings(BaseSettings):
    """All settings. ``Settings()`` reads the environment, ``.env``, the files of the folder ``SHELFWISE_SECRETS_DIR``
    and ``shelfwise.toml``; of two that name one setting the first counts."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        toml_file=FILE,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # a URL that is wrong may hold a password
    )

    home: Path = Path(".shelfwise")
    """All that Shelfwise writes lies here, a folder per shop; a folder of this machine, no URL."""
    landing: str | None = None
    """Folder or fsspec URL with ``dt=YYYY-MM-DD`` days and a catalogue; None: the demo shop makes them."""
    shop: str | None = None
    """Name of the shop; None: the last part of ``landing``, or ``demo``."""
    demo: DemoSettings = DemoSettings()
    raw: RawSettings = RawSettings()
    features: FeatureSettings = FeatureSettings()
    tables: TableSettings = TableSettings()
    training: TrainingSettings = TrainingSettings()
    index: IndexSettings = IndexSettings()
    releases: ReleaseSettings = ReleaseSettings()
    online: OnlineSettings = OnlineSettings()
    serving: ServingSettings = ServingSettings()
    items: ItemSettings = ItemSettings()
    checks: CheckSettings = CheckSettings()
    gates: GateSettings = GateSettings()
    ui: UiSettings = UiSettings()
    api: ApiSettings = ApiSettings()
    ubi_log: UbiLogSettings = UbiLogSettings()
    night: NightSettings = NightSettings()
    webhook: WebhookSettings = WebhookSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()

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
        refuse_unknown_names(read_env_file(Path(ENV_FILE)), settings_cls.model_fields)
        refuse_broken_file(Path(FILE))
        # Only what there is: the file is also other programs', and names of ours that are wrong were refused.
        env_file = DotEnvSettingsSource(settings_cls, ENV_FILE, "utf-8", "only_existing")
        toml = TomlConfigSettingsSource(settings_cls)
        folder = secrets_dir()
        if not folder:
            return init_settings, env_settings, env_file, toml
        secrets = NestedSecretsSettingsSource(file_secret_settings, secrets_dir=folder, secrets_dir_missing="error")
        refuse_unknown_names(dict.fromkeys(secret_names(), ""), settings_cls.model_fields)
        return init_settings, env_settings, env_file, secrets, toml

    @field_validator("home", mode="before")
    @classmethod
    def _is_on_this_machine(cls, value: object) -> object:
        if A_URL.match(str(value)):
            raise ValueError("home is a folder of this machine; releases alone can lie behind a URL: set releases.url")
        return value

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


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
