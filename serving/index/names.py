"""What a shop's collections and aliases are called in Milvus."""

from __future__ import annotations

import re
from dataclasses import dataclass

from infra.settings import Settings


@dataclass(frozen=True)
class Names:
    """Of a shop's collections and aliases: other shops, and other programs, may have theirs on the same server."""

    prefix: str

    @property
    def live(self) -> str:
        """The alias of the live collection."""
        return f"{self.prefix}live"

    @property
    def previous(self) -> str:
        """The alias of the collection that was live before."""
        return f"{self.prefix}previous"

    def collection(self, release_id: str) -> str:
        """The collection of a release.

        Raises:
            ValueError: the id is none.
        """
        if not re.fullmatch(r"[A-Za-z0-9]{1,64}", release_id):
            raise ValueError(f"release id {release_id!r}: a release's id has letters and digits only")
        return self.prefix + release_id

    def release_id(self, collection: str) -> str:
        """The release of a collection."""
        return collection.removeprefix(self.prefix)

    def is_collection(self, name: str) -> bool:
        """Whether a collection is this shop's."""
        return bool(re.fullmatch(re.escape(self.prefix) + "[A-Za-z0-9]{1,64}", name))


def names_of(settings: Settings) -> Names:
    """The names of a shop."""
    return Names(f"{settings.project}_items_")
