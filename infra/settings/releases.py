"""Settings of where releases travel."""

from __future__ import annotations

from pydantic import field_validator

from infra.settings.base import Group
from infra.settings.paths import same_landing


class ReleaseSettings(Group):
    """Releases, for machines that share no disk."""

    url: str | None = None
    """Folder or fsspec URL, such as ``s3://bucket/releases``, that what goes live is copied to, a folder per shop;
    servers fetch it from there into their own home. Credentials are found as its package finds them (s3fs: as ``aws``
    does). None: releases stay under ``home``, which whoever serves shares with whoever trains."""

    @field_validator("url")
    @classmethod
    def _one_place_has_one_name(cls, value: str | None) -> str | None:
        return same_landing(value) or None
