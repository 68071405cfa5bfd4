"""Small demo shops, made once for the tests that only read them."""

from __future__ import annotations

import pytest

from demoshop.landing import make_landing
from infra.settings import Settings
from tests.demoshop.small_demo import shop_settings


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A small shop with its landing folder made."""
    settings = shop_settings(tmp_path_factory.mktemp("small"))
    make_landing(settings)
    return settings


@pytest.fixture(scope="session")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A shop with enough requests for shares to settle."""
    settings = shop_settings(tmp_path_factory.mktemp("busy"), users=400, items=1000, requests_per_user_day=6.0)
    make_landing(settings)
    return settings
