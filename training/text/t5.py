"""The encoder of a T5, through ``transformers``: for the item tower, where a second more of imports costs nothing."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from training.text.libraries import transformers


class T5Encoder:
    """Token ids of texts of one length to mean-pooled unit rows.

    Args:
        folder: a T5 encoder as ``transformers`` writes it.
    """

    def __init__(self, folder: Path) -> None:
        self._model = transformers().T5EncoderModel.from_pretrained(folder, local_files_only=True).eval()
        self.width = int(self._model.config.d_model)

    @torch.inference_mode()
    def __call__(self, tokens: Tensor) -> Tensor:
        """``tokens`` int64 [n, length] -> float32 [n, width], rows of norm 1."""
        states = self._model(input_ids=tokens).last_hidden_state
        return F.normalize(states.mean(dim=1), dim=1)
