"""One request to its query vector: the path that serving takes, over the same tower and hashing as training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from training.ragged import Ragged
from training.text.ngrams import Hasher
from training.towers import QueryBatch, Towers


class QueryEncoder:
    """Query tower, tokeniser and the tokens of the items that a history may name. Read-only, so threads may share it.

    Args:
        towers: in evaluation mode.
        tokens: rows of the history groups, one row per item of ``item_ids``.
    """

    def __init__(self, towers: Towers, tokens: Mapping[str, Ragged], item_ids: Sequence[str]) -> None:
        config = towers.config
        self._towers = towers.eval()
        self._hasher = Hasher(config.buckets, config.max_query_tokens)
        self._tokens = [tokens[group] for group in config.history_groups]
        self._row_of = {item: row for row, item in enumerate(item_ids)}

    @torch.inference_mode()
    def encode(
        self,
        text: str,
        recent_queries: Sequence[str] = (),
        recent_items: Sequence[str] = (),
        recent_orders: Sequence[str] = (),
    ) -> NDArray[np.float32]:
        """Unit vector [dim]. Histories come newest first; items that the release does not know are skipped.

        Nothing known of the user is the same as an unknown user.
        """
        config = self._towers.config
        texts = self._hasher.ngrams([text, *recent_queries[: config.recent_queries]])
        clicked = self._rows(recent_items[: config.recent_items])
        ordered = self._rows(recent_orders[: config.recent_orders])
        items = np.array([*clicked, *ordered], dtype=np.int64)
        text_means, *item_means = self._towers.token_means(texts, *(group.take(items) for group in self._tokens))
        batch = QueryBatch(
            text_means=text_means,
            item_means=torch.stack(item_means, dim=1),
            query=torch.zeros(1, dtype=torch.int64),
            recent_queries=torch.arange(1, len(texts))[None],
            recent_items=torch.arange(len(clicked))[None],
            recent_orders=torch.arange(len(clicked), len(items))[None],
        )
        return self._towers.encode_queries(batch)[0].numpy()

    def _rows(self, items: Sequence[str]) -> list[int]:
        return [self._row_of[item] for item in items if item in self._row_of]
