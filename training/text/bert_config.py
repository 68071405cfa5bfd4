"""Sizes of a BERT, read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.text.errors import TextEncoderError


@dataclass(frozen=True)
class BertConfig:
    """Sizes of a BERT encoder, as in its ``config.json``."""

    width: int
    layers: int
    heads: int
    positions: int
    epsilon: float

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> BertConfig:
        """Read a ``config.json``.

        Raises:
            TextEncoderError: it is no BERT, or one with another activation or another kind of positions.
        """
        expected = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
        other = {name: config[name] for name, value in expected.items() if config.get(name, value) != value}
        if other or config.get("is_decoder"):
            raise TextEncoderError(
                f"a checkpoint with {other or 'is_decoder'} cannot be read: give a BERT encoder ({expected})"
            )
        return cls(
            width=config["hidden_size"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            positions=config["max_position_embeddings"],
            epsilon=config["layer_norm_eps"],
        )
