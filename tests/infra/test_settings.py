"""A setting that is wrong is named as it was set."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from infra.misspelt import in_words
from infra.settings import ApiSettings, Settings


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SHELFWISE_TRANING__EPOCHS", "3", "did you mean SHELFWISE_TRAINING?"),
        ("SHELFWISE_HOMES", "x", "did you mean SHELFWISE_HOME?"),
        ("SHELFWISE_TRAINING__EPOCHZ", "3", "did you mean SHELFWISE_TRAINING__EPOCHS?"),
        ("SHELFWISE_TRAINING__RECIPE", "foo", "SHELFWISE_TRAINING__RECIPE=foo: one of shelfwise, mmse, ueppr"),
        ("SHELFWISE_TRAINING__BOOSTING__NOSUCHTHING", "1", "SHELFWISE_TRAINING__BOOSTING__NOSUCHTHING is no setting"),
        ("SHELFWISE_DEMO__USERS", "0", "SHELFWISE_DEMO__USERS=0: input should be greater than or equal to 1"),
    ],
)
def test_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    monkeypatch.setenv(name, value)
    assert says in refusal()


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[traning]\nepochs = 3", "shelfwise.toml: [traning] is no group; did you mean training?"),
        ("[training]\nepochz = 3", "shelfwise.toml: [training] has no epochz; did you mean epochs?"),
        ('[training]\nrecipe = "foo"', "shelfwise.toml: training.recipe=foo: one of shelfwise"),
        ("[training]\nepochs =", "shelfwise.toml line 2: "),
    ],
)
def test_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toml: str, says: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shelfwise.toml").write_text(toml, encoding="utf-8")
    assert says in refusal()


def test_a_secret_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shelfwise.toml").write_text("[index]\ntoken = 12345", encoding="utf-8")
    assert refusal().startswith("shelfwise.toml: index.token: ")


def test_a_group_alone() -> None:
    with pytest.raises(ValidationError) as caught:
        ApiSettings(port=99_999)
    assert in_words(caught.value, Settings).startswith("api.port=99999: input should be less than")


def refusal() -> str:
    """What loading the settings says; no link to pydantic's pages."""
    with pytest.raises((SettingsError, ValidationError)) as caught:
        Settings()
    error = caught.value
    told = in_words(error, Settings) if isinstance(error, ValidationError) else str(error)
    assert "pydantic" not in told
    return told
