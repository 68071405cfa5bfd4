"""What a linear ranker leaves: gradient-boosted trees over the same features, added to its scores."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from training.ranking.listwise import Lists

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
ROUNDS = 60
"""Trees. Twice as many gained nothing on the shops that we tried, and cost an answer twice the time."""
PARAMETERS: dict[str, Any] = {
    "objective": "lambdarank",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 50,
    "lambda_l2": 5.0,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambdarank_truncation_level": 30,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
"""Small and slow trees: requests are hundreds to thousands. On one thread: two take longer where others work beside."""


FIRST_TREE, END_OF_TREES = b"Tree=0\n", b"end of trees\n"


class Trees:
    """LightGBM's LambdaMART (Burges, 2010), begun at another ranker's scores.

    Args:
        model: LightGBM's text format; at: the columns of the values that it reads, [features].
    """

    def __init__(self, model: str, at: I64) -> None:
        self.model, self._at = model, at

    @classmethod
    def fit(cls, lists: Lists, begin_at: F64, seed: int) -> Trees:
        """Trees that move pairs up which were chosen, from where the scores ``begin_at`` [m] have them."""
        import lightgbm

        highest = np.repeat(np.maximum.reduceat(lists.gain, lists.begin), lists.lengths)
        grade = (lists.gain > 0).astype(np.int32) + (lists.gain >= highest)
        values = np.ascontiguousarray(lists.values)
        data = lightgbm.Dataset(values, grade, group=lists.lengths, init_score=begin_at)
        booster = lightgbm.train(PARAMETERS | {"seed": seed}, data, ROUNDS)
        return cls(booster.model_to_string(), np.arange(lists.values.shape[1]))

    def at(self, columns: I64) -> Trees:
        """The same trees over other values, of which they read ``columns`` [features]."""
        return Trees(self.model, columns[self._at])

    def load(self) -> None:
        """Read the model now, which the first request would do.

        Raises:
            ValueError: it is no model or not a whole one, or reads other columns than the ranker has.
            ImportError, OSError: LightGBM, or the libgomp that it needs, is not installed.
        """
        from lightgbm.basic import LightGBMError

        if reason := _broken(self.model):
            raise ValueError(f"its trees are no model of LightGBM: {reason}")
        try:
            columns = self._booster.num_feature()
        except LightGBMError as error:
            raise ValueError(f"its trees are no model of LightGBM: {error}") from error
        if columns != len(self._at):
            raise ValueError(f"its trees read {columns} features, its weights {len(self._at)}")

    def scores(self, values: F64) -> F64:
        """What they add to each pair's score, [m]; ``values``: without unknowns, [m, columns]."""
        return np.asarray(self._predict(values))

    def parts(self, values: F64) -> F64:
        """What each of the values adds, and last what is the same for all pairs, [m, columns + 1]: Shapley values
        (Lundberg et al., Nature MI 2020), which add up to :meth:`scores`."""
        shares = np.asarray(self._predict(values, pred_contrib=True))
        out = np.zeros((len(values), values.shape[1] + 1))
        out[:, self._at], out[:, -1] = shares[:, :-1], shares[:, -1]
        return out

    def _predict(self, values: F64, **options: Any) -> Any:
        return self._booster.predict(np.ascontiguousarray(values[:, self._at]), num_threads=1, **options)

    @cached_property
    def _booster(self) -> Any:
        import lightgbm

        # By tree_sizes it reads trees in threads, where whatever it refuses ends the process: without, it raises.
        return lightgbm.Booster(model_str=re.sub(r"^tree_sizes=.*\n", "", self.model, count=1, flags=re.MULTILINE))


def _broken(model: str) -> str:
    """Why a model's trees are not where its header says, "" where they are: LightGBM reads beyond a text that ends too
    early, which ends the process."""
    text = model.encode()
    sizes = re.findall(rb"^tree_sizes=(.*)$", text, re.MULTILINE)
    begin, end = text.find(FIRST_TREE), text.find(END_OF_TREES)
    if len(sizes) != 1 or begin < 0 or end < begin:
        return "its header, its first tree or the end of its trees is missing"
    try:
        ends = np.cumsum([begin, *map(int, sizes[0].split())])
    except ValueError:
        return "its tree_sizes are no numbers"
    if ends[-1] != end:
        return f"its trees have {end - begin:,} bytes, its tree_sizes say {ends[-1] - begin:,}"
    starts = (text.startswith(b"Tree=%d\n" % number, at) for number, at in enumerate(ends[:-1].tolist()))
    return "" if all(starts) else "its trees begin elsewhere than its tree_sizes say"
