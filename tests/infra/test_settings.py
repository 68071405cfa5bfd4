"""A setting that is wrong is named as it was set."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from infra.settings import (
    ApiSettings,
    OnlineSettings,
    QualityPriorSettings,
    ReleaseSettings,
    Settings,
    TableSettings,
    TrainingSettings,
    base,
    in_words,
)
from infra.settings.errors import unparsed


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SHELFWISE_TRANING__EPOCHS", "3", "did you mean SHELFWISE_TRAINING?"),
        ("SHELFWISE_HOMES", "x", "did you mean SHELFWISE_HOME?"),
        ("SHELFWISE_TRAINING__EPOCHZ", "3", "did you mean SHELFWISE_TRAINING__EPOCHS?"),
        ("SHELFWISE_TRAINING__RECIPE", "foo", "SHELFWISE_TRAINING__RECIPE=foo: one of shelfwise, mmse, ueppr"),
        (
            "SHELFWISE_TRAINING__PRETRAINING__NOSUCHTHING",
            "1",
            "SHELFWISE_TRAINING__PRETRAINING__NOSUCHTHING is no setting",
        ),
        ("SHELFWISE_HOME", "s3://bucket/home", "SHELFWISE_HOME=s3://bucket/home: home is a folder of this machine"),
        ("SHELFWISE_HOME", "file:///srv/home", "set releases.url"),
        ("SHELFWISE_TABLES__ENGINE", "sparc", "SHELFWISE_TABLES__ENGINE=sparc: one of duckdb, spark"),
        (
            "SHELFWISE_TABLES__SPARK_URL",
            "sc://host:15002",
            "it is neither local, local[N], local[*] nor spark://HOST:PORT",
        ),
        ("SHELFWISE_TABLES__SPARK_URL", "spark://host", "it is neither local"),
        ("SHELFWISE_TABLES__SPARK_OPTIONS", '{"driver.memory": "2g"}', "no option of Spark is called driver.memory"),
        ("SHELFWISE_RAW__COLUMNS", '{"titel": "x"}', "SHELFWISE_RAW__COLUMNS=titel: one of title, description"),
        ("SHELFWISE_RAW__COLUMNS", "title=x", """SHELFWISE_RAW__COLUMNS=title=x: write it as JSON, such as {"name":"""),
        ("SHELFWISE_RAW__GUEST_IDS", "0,1", """SHELFWISE_RAW__GUEST_IDS=0,1: write it as JSON, such as ["one","""),
        ("SHELFWISE_DEMO__USERS", "0", "SHELFWISE_DEMO__USERS=0: input should be greater than or equal to 1"),
    ],
)
def test_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    monkeypatch.setenv(name, value)
    assert says in refusal()


@pytest.mark.parametrize("url", ["local", "local[4]", "local[*]", "spark://10.0.0.1:7077", "spark://a:7077,b:7077"])
def test_forms_of_a_spark_url(url: str) -> None:
    assert TableSettings(spark_url=url).spark_url == url


def test_a_home_behind_a_url_is_refused_as_a_path_too() -> None:
    for home in (Path("s3://bucket/home"), "gs://bucket", "memory://x", "simplecache::s3://bucket"):
        with pytest.raises(ValidationError, match="folder of this machine"):
            Settings(home=home)
    for home in ("relative/folder", "/with:colon/a:b", "~/here", "C:/Users/x"):
        assert Settings(home=home).home == Path(home)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("s3://bucket/r/", "s3://bucket/r"),
        ("file:///srv/r", "/srv/r"),
        ("/srv//r/", "/srv/r"),
        ("", None),
        (None, None),
    ],
)
def test_a_place_of_releases_has_one_name(given: str, url: str | None) -> None:
    assert ReleaseSettings(url=given).url == url


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


@pytest.mark.parametrize("by", ["environment", "file", "object"])
def test_a_setting_of_a_group_leaves_the_rest_of_the_group_to_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.chdir(tmp_path)
    training = Settings().training
    if by == "environment":
        monkeypatch.setenv("SHELFWISE_TRAINING__RECIPE", "mmse")
        monkeypatch.setenv("SHELFWISE_TRAINING__QUALITY_PRIOR__TRIALS", "3")
        training = Settings().training
    elif by == "file":
        Path("shelfwise.toml").write_text('[training]\nrecipe = "mmse"\n[training.quality_prior]\ntrials = 3', "utf-8")
        training = Settings().training
    else:
        training = TrainingSettings(recipe="mmse", quality_prior=QualityPriorSettings(trials=3))
    assert training.quality_prior == QualityPriorSettings(on=False, trials=3)


def test_what_is_set_wins_over_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELFWISE_TRAINING__RECIPE", "mmse")
    monkeypatch.setenv("SHELFWISE_TRAINING__QUALITY_PRIOR__ON", "true")
    assert Settings().training.quality_prior == QualityPriorSettings(on=True)


def test_recipe_file_and_environment_are_merged_group_by_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe with two groups, the file and the environment each with one setting of both."""
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "ueppr.toml").write_text(
        "dim = 16\n[quality_prior]\non = false\n[pretraining]\nwidth = 32\nlayers = 2\n", "utf-8"
    )
    monkeypatch.setattr(base, "RECIPES", recipes)
    monkeypatch.chdir(tmp_path)
    Path("shelfwise.toml").write_text(
        "[training.quality_prior]\ntrials = 3\n[training.pretraining]\nlayers = 1", "utf-8"
    )
    monkeypatch.setenv("SHELFWISE_TRAINING__RECIPE", "ueppr")
    monkeypatch.setenv("SHELFWISE_TRAINING__QUALITY_PRIOR__REQUESTS", "7")
    monkeypatch.setenv("SHELFWISE_TRAINING__PRETRAINING__STEPS", "5")
    training = Settings().training
    assert (training.recipe, training.dim) == ("ueppr", 16)
    assert (training.quality_prior.on, training.quality_prior.trials, training.quality_prior.requests) == (False, 3, 7)
    assert (training.pretraining.width, training.pretraining.layers, training.pretraining.steps) == (32, 1, 5)


def refusal() -> str:
    """What loading the settings says; no link to pydantic's pages."""
    with pytest.raises((SettingsError, ValidationError)) as caught:
        Settings()
    error = caught.value
    told = in_words(error, Settings) if isinstance(error, ValidationError) else unparsed(error, Settings) or str(error)
    assert "pydantic" not in told
    return told


LINKS = [
    "SHELFWISE_SERVICE_HOST",
    "SHELFWISE_SERVICE_PORT_HTTP",
    "SHELFWISE_PORT",
    "SHELFWISE_PORT_8000_TCP_ADDR",
    "SHELFWISE_REDIS_SERVICE_PORT",
]


@pytest.mark.parametrize("name", LINKS)
def test_a_service_of_our_name_in_kubernetes_is_no_setting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "10.0.0.1")
    with pytest.raises(SettingsError, match="is no setting"):
        Settings()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    Settings()
    monkeypatch.setenv("SHELFWISE_APY__PORT", "8000")
    with pytest.raises(SettingsError, match="did you mean SHELFWISE_API"):
        Settings()


def test_secrets_are_files_of_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As an orchestrator mounts them: behind links, beside files that are not ours, with the newline of an editor."""
    mounted = tmp_path / "..2026"
    mounted.mkdir()
    (mounted / "SHELFWISE_ONLINE__REDIS_URL").write_text("redis://:word@redis:6379/0\n", encoding="utf-8")
    (mounted / "SHELFWISE_INDEX__TOKEN").write_text("of-the-file", encoding="utf-8")
    (mounted / "postgres_password").write_text("not ours", encoding="utf-8")
    (tmp_path / "..data").symlink_to(mounted)
    for file in mounted.iterdir():
        (tmp_path / file.name).symlink_to(Path("..data") / file.name)
    monkeypatch.setenv("SHELFWISE_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("SHELFWISE_INDEX__TOKEN", "of-the-environment")
    settings = Settings()
    assert settings.online.redis_url and settings.online.redis_url.get_secret_value() == "redis://:word@redis:6379/0"
    assert settings.index.token and settings.index.token.get_secret_value() == "of-the-environment"


def test_a_secret_that_is_no_setting_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHELFWISE_SECRETS_DIR", str(tmp_path / "gone"))
    with pytest.raises(SettingsError, match="gone"):
        Settings()
    monkeypatch.setenv("SHELFWISE_SECRETS_DIR", str(tmp_path))
    (tmp_path / "SHELFWISE_ONLIN__REDIS_URL").write_text("redis://redis", encoding="utf-8")
    with pytest.raises(SettingsError, match="did you mean SHELFWISE_ONLINE"):
        Settings()
    (tmp_path / "SHELFWISE_ONLIN__REDIS_URL").rename(tmp_path / "SHELFWISE_ONLINE__REDIS_ULR")
    with pytest.raises(ValidationError) as error:
        Settings()
    assert "SHELFWISE_ONLINE__REDIS_ULR is no setting" in in_words(error.value, Settings)


def test_an_env_file_comes_after_the_environment_and_before_secrets_and_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, value in (("SHELFWISE_HOME", "of-secrets"), ("SHELFWISE_SHOP", "of-secrets"), ("OTHER", "x")):
        (secrets / name).write_text(value, encoding="utf-8")
    Path(".env").write_text(
        f"""# of several programs
POSTGRES_PASSWORD=not-ours
export SHELFWISE_TRAINING__EPOCHS=3
SHELFWISE_TRAINING__DIM='64' # quoted
SHELFWISE_HOME=of-env
SHELFWISE_ONLINE__REDIS_URL="redis://:a,b'c@redis:6379/0"
SHELFWISE_SECRETS_DIR={secrets}
this line is nobody's
""",
        encoding="utf-8",
    )
    Path("shelfwise.toml").write_text(
        'shop = "of-toml"\nhome = "of-toml"\n[training]\nepochs = 9\npatience = 7', "utf-8"
    )
    monkeypatch.setenv("SHELFWISE_TRAINING__DIM", "32")
    settings = Settings()
    assert (settings.training.epochs, settings.training.dim, settings.training.patience) == (3, 32, 7)
    assert (settings.home, settings.shop) == (Path("of-env"), "of-secrets")
    assert settings.online.redis_url and settings.online.redis_url.get_secret_value() == "redis://:a,b'c@redis:6379/0"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "SHELFWISE_TRANING__EPOCHS=3",
            "SHELFWISE_TRANING__EPOCHS is no setting of Shelfwise; did you mean SHELFWISE_TRAINING?",
        ),
        ("SHELFWISE_TRAINING__EPOCHZ=3", "SHELFWISE_TRAINING__EPOCHZ is no setting; did you mean"),
        ("SHELFWISE_DEMO__USERS=0", "SHELFWISE_DEMO__USERS=0: input should be greater than or equal to 1"),
        ("\nSHELFWISE_TRAINING__EPOCHS 3", ".env line 2: it is no NAME=value"),
        ("SHELFWISE_INDEX__TOKEN=\xff", ".env is not UTF-8 text"),
    ],
)
def test_a_wrong_line_of_an_env_file_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_bytes(line.encode("latin-1"))
    assert says in refusal()


@pytest.mark.parametrize(
    ("online", "says"),
    [
        ({"redis_url": "http://host"}, "it begins with no form that is known; write redis://"),
        ({"redis_url": "redis+cluster://"}, "it lacks a host or a port"),
        ({"redis_url": "redis://:secret/word@host:6379/0"}, "of a password write / ? # @ in percent"),
        ({"redis_url": "redis+cluster://:secret@one:7000,two:7001/3"}, "a Redis Cluster has no databases but 0"),
        ({"redis_url": "redis+sentinel://:secret@one,two"}, "after the sentinels comes the name of the primary"),
        ({"redis_url": "redis://host", "ca_file": __file__}, "is for TLS, and redis_url is without"),
        ({"redis_url": "rediss://host", "ca_file": "/nosuch"}, "path does not point to a file"),
        ({"redis_url": "rediss://host", "cert_file": __file__}, "cert_file and key_file go together"),
    ],
)
def test_a_wrong_url_of_redis_is_refused_without_its_password(online: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        OnlineSettings.model_validate(online)
    told = in_words(caught.value, Settings)
    assert says in told and "secret" not in told and told.startswith("online")
    assert "secret" not in str(caught.value)
