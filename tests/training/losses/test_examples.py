"""The examples in the docstrings of the losses run, and give what they say."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest

from training.losses import hinge, softmax


@pytest.mark.parametrize("module", [hinge, softmax], ids=lambda m: m.__name__)
def test_docstring_examples(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted >= 3
    assert found.failed == 0
