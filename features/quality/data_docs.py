"""Data Docs pages of our own: one HTML file each, nothing loaded from anywhere, readable from a file.

Great Expectations' stock pages take their styles and scripts from content networks, stay blank without them, and put
the context's id into the address of a logo. Its site builder takes a renderer and a view per section; these are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from features.quality.outcomes import outcomes_of


def site_config(site: Path) -> dict[str, Any]:
    """Configuration of a Great Expectations site under ``site`` whose pages are ours."""

    def part(name: str) -> dict[str, str]:
        return {"module_name": __name__, "class_name": name}

    return {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site)},
        "site_index_builder": {
            "class_name": "DefaultSiteIndexBuilder",
            "renderer": part("IndexRenderer"),
            "view": part("StandaloneView"),
        },
        "site_section_builders": {
            "expectations": "None",  # the word, not null: the site builder dereferences a null section
            "profiling": "None",
            "validations": {
                "class_name": "DefaultSiteSectionBuilder",
                "renderer": part("ValidationRenderer"),
                "view": part("StandaloneView"),
            },
        },
    }


class ValidationRenderer:
    """What the page of one validation says: the broken rules first, each with its figures."""

    def render(self, result: Any) -> dict[str, Any]:
        outcomes = outcomes_of(result.results)
        run = result.meta["run_id"]
        return {
            "template": "validation.html",
            "suite": result.suite_name,
            "scope": run["run_name"],
            "time": datetime.fromisoformat(run["run_time"]),
            "success": result.success,
            "failed": [o for o in outcomes if not o.success],
            "met": [o for o in outcomes if o.success],
            "home": "../" * (len(result.suite_name.split(".")) + 3) + "index.html",
        }


class IndexRenderer:
    """What the front page says: the validations that are kept, the latest first."""

    def render(self, links: Mapping[str, Any]) -> dict[str, Any]:
        return {"template": "index.html", "validations": links.get("validations_links", [])}


class StandaloneView:
    """A page's content through its template."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("features.quality"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )

    def render(self, content: Mapping[str, Any], **_: Any) -> str:
        return self._templates.get_template(content["template"]).render(content)
