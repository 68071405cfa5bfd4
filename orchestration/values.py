"""What one asset hands to the next through Dagster: small typed values, as JSON beside the instance's runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import TypeAdapter, ValidationError

from infra.contract.partitions import write_json


@dataclass(frozen=True)
class CandidateRelease:
    """A release that the gates have not judged yet."""

    id: str
    candidate: str
    """Key of the candidate that it was written from; see ``orchestration.releases.candidate_key``."""


@dataclass(frozen=True)
class IndexedRelease(CandidateRelease):
    """One whose items are in a collection that nothing reads yet."""

    collection: str


class JsonValues(dg.IOManager):
    """Keeps the newest value of each asset, so that a step can be materialized alone, in another process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write a value in one step."""
        write_json(self._file(context.asset_key), TypeAdapter(type(obj)).dump_python(obj, mode="json"))

    def load_input(self, context: dg.InputContext) -> Any:
        """Read the value of the asset that a step names as its input, in the type that the step asks for.

        Raises:
            Failure: there is none, or it is of another version.
        """
        file = self._file(context.asset_key)
        try:
            return TypeAdapter(context.dagster_type.typing_type).validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            name = context.asset_key.to_user_string()
            raise dg.Failure(
                f"{file} does not say what {name} came to: materialize {name}, then what follows from it ({error})",
                allow_retries=False,
            ) from error

    def _file(self, key: dg.AssetKey) -> Path:
        return self._folder.joinpath(*key.path).with_suffix(".json")


@dg.io_manager(description="Small typed values as JSON.")
def json_values(context: dg.InitResourceContext) -> JsonValues:
    """Under the instance's storage: runs in one process and runs from the UI read the same."""
    assert context.instance is not None
    return JsonValues(Path(context.instance.storage_directory()) / "values")
