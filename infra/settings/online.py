"""Settings of the online store."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, FilePath, SecretStr, field_validator, model_validator

from infra.settings.base import Count, Group
from infra.settings.redis_url import Kind, read_redis_url


class OnlineSettings(Group):
    """The online store."""

    redis_url: SecretStr | None = None
    """``redis://[user:password@]host:port/db``; of a Redis Cluster ``redis+cluster://[user:password@]host:port,host:port``,
    some of its nodes; behind sentinels ``redis+sentinel://[user:password@]host:port,host:port/primary[/db]``. With TLS
    ``rediss`` instead of ``redis``. None: an embedded server, shared by processes."""
    ca_file: FilePath | None = None
    """Certificates (PEM) of who signed the servers'; None: those that the system trusts."""
    cert_file: FilePath | None = None
    """Our certificate (PEM), where the servers ask for one."""
    key_file: FilePath | None = None
    """Its private key (PEM)."""
    sentinel_username: str | None = None
    """ACL user at the sentinels; those of the URL are the servers'."""
    sentinel_password: SecretStr | None = None
    """Password at the sentinels; None: they ask for none."""
    timeout_ms: Count = 50
    """Longest wait for a round trip to the online store."""
    session_events: Count = 200
    """Events kept per user between two batches, the newest: beyond it, counts of the session stop growing."""
    session_ttl: timedelta = Field(timedelta(days=3), ge=timedelta(seconds=1))
    """How long a user's recorded events outlive the last one: through a night or two whose batch failed."""

    @field_validator("redis_url")
    @classmethod
    def _is_of_a_known_form(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            read_redis_url(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _files_are_of_tls(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together: set both or none")
        given = self.ca_file or self.cert_file
        if given and not (self.redis_url and read_redis_url(self.redis_url.get_secret_value()).has_tls):
            raise ValueError(f"{given} is for TLS, and redis_url is without: write rediss instead of redis in it")
        return self

    @property
    def kind(self) -> Kind:
        """What ``redis_url`` leads to."""
        return read_redis_url(self.redis_url.get_secret_value()).kind if self.redis_url else "single"
