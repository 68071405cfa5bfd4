"""Quality features f(p): what the log and the catalogue say of an item, whoever asks.

| feature | what | unknown where |
|---|---|---|
| rating | the catalogue's | it says none |
| freshness | minus the age in days | the catalogue does not say since when there is the item |
| click_rate, order_rate | per impression over 30 days, smoothed towards the shop's | not shown lately |
| popularity, orders | clicks and orders over 30 days (the quantiles make a logarithm needless) | not shown lately |
| brand_order_rate | orders per impression of all items of its brand, smoothed towards the shop's | no brand |

UEPPR names rating, freshness, the shop's conversion rate and the order rate; the rest, the windows and 0.5 for what is
unknown are choices of ours. Each is turned so that more is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.data.scalars import QuantileTransform

if TYPE_CHECKING:
    from training.data.arrays import Arrays

Floats = NDArray[np.float32]

QUALITY_FIGURES = ("rating", "freshness", "click_rate", "order_rate", "popularity", "orders", "brand_order_rate")
_LOGGED = {"click_rate": "click_rate", "order_rate": "order_rate", "popularity": "clicks_30d", "orders": "orders_30d"}
DAY = 86_400_000_000


@dataclass(frozen=True, eq=False)
class QualityFeatures:
    """Raw figures to features in [0, 1]; ``names`` are those that vary, the others are left out."""

    names: tuple[str, ...]
    transform: QuantileTransform

    @classmethod
    def fit(cls, raw: Floats, names: Sequence[str] = QUALITY_FIGURES) -> QualityFeatures:
        """Fit on the items that were there at the cut, ``raw`` [items, F], NaN where unknown."""
        transform = QuantileTransform.fit(raw, names)
        varying = tuple(n for n, knots in zip(transform.names, transform.knots, strict=True) if len(knots) > 1)
        return cls(varying, transform)

    def apply(self, raw: Floats) -> Floats:
        """Features of ``raw`` [items, F], in the order of ``names``, [items, f]; what is unknown is 0.5, the median."""
        kept = [self.transform.names.index(name) for name in self.names]
        return np.nan_to_num(self.transform.apply(raw)[:, kept], nan=0.5)

    def to_json(self) -> dict[str, Any]:
        return {"names": list(self.names), "transform": self.transform.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> QualityFeatures:
        """What :meth:`to_json` wrote."""
        return cls(tuple(value["names"]), QuantileTransform.from_json(value["transform"]))


def quality_figures(arrays: Arrays, at: int, prior: float) -> Floats:
    """Raw figures of each item as of ``at`` (microseconds since 1970) in the order of ``QUALITY_FIGURES``, [items, F].

    Args:
        prior: impressions that the shop's order rate counts for in a brand's (``settings.features.rate_prior``).
    """
    catalog, logged = arrays.catalog(), arrays.item_features(at)
    column = {name: logged[:, i] for i, name in enumerate(arrays.meta["item_features"])}
    unknown = np.full(arrays.items, np.nan, dtype=np.float32)
    figures = {name: column.get(source, unknown) for name, source in _LOGGED.items()}
    if "rating" in catalog.column_names:
        figures["rating"] = catalog["rating"].cast(pa.float32()).to_numpy()
    figures["freshness"] = np.where(arrays.item_available > 0, (arrays.item_available - at) / DAY, np.nan)
    if "brand" in catalog.column_names and {"orders_30d", "impressions_30d"} <= column.keys():
        figures["brand_order_rate"] = brand_order_rate(
            catalog["brand"], column["orders_30d"], column["impressions_30d"], prior
        )
    return np.stack([figures.get(name, unknown) for name in QUALITY_FIGURES], axis=1).astype(np.float32)


def brand_order_rate(brands: pa.ChunkedArray, orders: Floats, impressions: Floats, prior: float) -> Floats:
    """Orders per impression of each item's brand, [items], NaN where it has none::

    (orders of the brand + prior * g) / (impressions of the brand + prior),   g = all orders / all impressions
    """
    coded = brands.combine_chunks().dictionary_encode()
    code = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    known = code >= 0
    bought, shown = (np.nan_to_num(counts).astype(np.float64) for counts in (orders, impressions))
    overall = bought.sum() / max(shown.sum(), 1.0)
    per_brand, shown_per_brand = (np.bincount(code[known], weights=counts[known]) for counts in (bought, shown))
    rate = np.full(len(code), np.nan, dtype=np.float32)
    rate[known] = ((per_brand + prior * overall) / (shown_per_brand + prior))[code[known]]
    return rate
