"""The Helm chart: it lints, each size renders to what Kubernetes' schemas take, and wrong values are refused.

Needs Helm's SDK and the schemas, 310 MiB that nothing else needs: ``pip install helm-python-sdk kubernetes-validate``.
"""

from __future__ import annotations

import json
import os
import re
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.settings import Settings

DEPLOY = Path(__file__).parents[2] / "infra" / "deploy"
CHART = DEPLOY / "chart"
SIZES = ["minimal", "standard", "ha"]
GIVEN = {
    "apiKeys": {"existingSecret": "shelfwise-keys"},
    "redis": {"existingSecret": "shelfwise-redis"},
    "milvus": {"uri": "http://milvus:19530", "existingSecret": "shelfwise-milvus"},
}
"""What every install has to say."""
STORES = {
    "redis": {"tls": {"existingSecret": "redis-tls", "cert": "tls.crt", "key": "tls.key"}},
    "objectStore": {"existingSecret": "bucket", "endpoint": "https://store:9000", "region": "eu-central-1"},
    "trust": {"existingSecret": "authorities"},
    "settings": {"SHELFWISE_RELEASES__URL": "s3://bucket/releases"},
    "networkPolicy": {"enabled": True, "objectStorePort": 9000},
}
"""Behind TLS of your own, releases in a bucket."""
CRDS = {"ServiceMonitor", "PrometheusRule"}
Documents = list[dict[str, Any]]


def over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Values as ``helm -f below -f above`` has them."""
    merged = dict(below)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = over(merged[name], value) if both else value
    return merged


def values(size: str, *more: dict[str, Any]) -> dict[str, Any]:
    own = yaml.safe_load((CHART / f"values-{size}.yaml").read_text(encoding="utf-8"))
    return reduce(over, [own, GIVEN, *more])


@pytest.fixture(scope="module")
def helm() -> Any:
    return pytest.importorskip("helm_python", reason="pip install helm-python-sdk")


def rendered(helm: Any, given: dict[str, Any], name: str = "shelfwise") -> Documents:
    texts = helm.Chart.load(CHART).render(given, name=name, namespace="shop")
    return [
        document
        for path, text in texts.items()
        if not path.endswith("NOTES.txt")
        for document in yaml.safe_load_all(text)
        if document
    ]


def of_kind(documents: Documents, kind: str, name: str = "shelfwise") -> dict[str, Any]:
    (found,) = [one for one in documents if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def pod_specs(documents: Documents) -> list[dict[str, Any]]:
    deployments = [one["spec"]["template"]["spec"] for one in documents if one["kind"] == "Deployment"]
    return deployments + [one["spec"] for one in documents if one["kind"] == "Pod"]


@pytest.mark.parametrize("size", SIZES)
def test_it_lints(helm: Any, size: str) -> None:
    report = helm.lint(CHART, values(size), strict=True)
    assert report["total_charts_linted"] == 1 and not report["errors"], report
    assert all(message["severity"] < 2 for message in report["messages"]), report


@pytest.mark.parametrize("more", [{}, STORES], ids=["plain", "stores"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_a_size_renders_to_what_kubernetes_takes(helm: Any, size: str, version: str, more: dict[str, Any]) -> None:
    kubernetes = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    documents = rendered(helm, values(size, more))
    kinds = {one["kind"] for one in documents}
    assert {"Deployment", "Service", "ConfigMap", "ServiceAccount", "PersistentVolumeClaim", "Pod"} <= kinds
    assert (size == "minimal") != ({"HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", *CRDS} <= kinds)
    for document in documents:
        if document["kind"] not in CRDS:
            kubernetes.validate(document, version, strict=True)


@pytest.mark.parametrize("size", SIZES)
def test_pods_are_nobody_and_write_nowhere_else(helm: Any, size: str) -> None:
    specs = pod_specs(rendered(helm, values(size)))
    assert len(specs) >= 2
    for spec in specs:
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] == 10001
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False, "SHELFWISE_SERVICE_HOST is no setting: servers would not start"
        for container in spec["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"] and container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("size", SIZES)
def test_its_settings_are_settings(helm: Any, size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shelfwise itself reads what a pod would be given, secrets included."""
    documents = rendered(helm, values(size))
    given = dict(of_kind(documents, "ConfigMap")["data"])
    (container,) = of_kind(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    given |= {one["name"]: "redis://secret" for one in container["env"]}
    for name in [name for name in os.environ if name.startswith("SHELFWISE_")]:
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.shop_name == "demo" and settings.api.host == "0.0.0.0"
    assert settings.index.uri == "http://milvus:19530" and settings.index.token and settings.online.redis_url
    (mounted,) = [one["mountPath"] for one in container["volumeMounts"] if one["name"] == "api-keys"]
    files = [settings.api.key_file, *(one.key_file for one in settings.api.keys.values())]
    assert all(file is not None and file.parent == Path(mounted) for file in files)
    grace = of_kind(documents, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > settings.api.shutdown_seconds + container["lifecycle"]["preStop"]["sleep"]["seconds"]


def test_stores_behind_tls_have_their_files_and_credentials(helm: Any) -> None:
    documents = rendered(helm, values("standard", STORES))
    pod = of_kind(documents, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {"secretRef": {"name": "bucket"}} in container["envFrom"]
    given = {one["name"]: one.get("value") for one in container["env"]}
    assert given["AWS_ENDPOINT_URL"] == "https://store:9000" and given["AWS_DEFAULT_REGION"] == "eu-central-1"
    secrets = {one["name"]: one["secret"]["secretName"] for one in pod["volumes"] if "secret" in one}
    mounted = {one["mountPath"]: secrets.get(one["name"]) for one in container["volumeMounts"]}
    files = {name: Path(value) for name, value in given.items() if (value or "").startswith("/")}
    assert {name: (mounted[str(file.parent)], file.name) for name, file in files.items()} == {
        "SHELFWISE_ONLINE__CA_FILE": ("redis-tls", "ca.crt"),
        "SHELFWISE_ONLINE__CERT_FILE": ("redis-tls", "tls.crt"),
        "SHELFWISE_ONLINE__KEY_FILE": ("redis-tls", "tls.key"),
        "AWS_CA_BUNDLE": ("authorities", "ca.crt"),
        "SSL_CERT_FILE": ("authorities", "ca.crt"),
        "REQUESTS_CA_BUNDLE": ("authorities", "ca.crt"),
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": ("authorities", "ca.crt"),
    }
    assert {"port": 9000} in of_kind(documents, "NetworkPolicy")["spec"]["egress"][1]["ports"]


def test_without_them_there_is_none(helm: Any) -> None:
    documents = rendered(helm, values("standard"))
    (container,) = of_kind(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert {one["name"] for one in container["env"]} == {"SHELFWISE_ONLINE__REDIS_URL", "SHELFWISE_INDEX__TOKEN"}
    assert {one["port"] for one in of_kind(documents, "NetworkPolicy")["spec"]["egress"][1]["ports"]} == {6379, 19530}


@pytest.mark.parametrize(
    ("own", "image"),
    [
        ({}, "shelfwise@sha256:" + "0" * 64),
        ({"tag": "full"}, "shelfwise:full"),
        ({"repository": "nights"}, "nights:serving"),
        ({"digest": "sha256:" + "1" * 64}, "shelfwise@sha256:" + "1" * 64),
    ],
    ids=["none", "tag", "repository", "digest"],
)
def test_the_nights_figures_have_an_image_of_their_own(helm: Any, own: dict[str, str], image: str) -> None:
    """``serving`` has no ``shelfwise metrics``."""
    given = {"image": {"tag": "serving", "digest": "sha256:" + "0" * 64}, "nightMetrics": {"image": own}}
    night = of_kind(rendered(helm, values("standard", given)), "Deployment", "shelfwise-night-metrics")
    assert [one["image"] for one in night["spec"]["template"]["spec"]["containers"]] == [image]


def test_the_settings_that_files_name_exist() -> None:
    page = (DEPLOY.parents[1] / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    files = [file for file in [*CHART.rglob("*"), DEPLOY / "dagster-values.yaml"] if file.is_file()]
    texts = [file.read_text(encoding="utf-8") for file in files if file.suffix in {".yaml", ".tpl"}]
    named = set(re.findall(r"SHELFWISE_[A-Z_]+[A-Z]", "".join(texts))) - {"SHELFWISE_NAME", "SHELFWISE_SERVICE_HOST"}
    assert len(named) > 8 and not [name for name in named if f"`{name}`" not in page]


def test_the_alerts_are_those_that_promtool_tests(helm: Any) -> None:
    alerts = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    documents = rendered(helm, values("standard"))
    assert of_kind(documents, "PrometheusRule")["spec"] == alerts
    without = rendered(helm, values("standard", {"prometheusRule": {"night": False}}))
    assert of_kind(without, "PrometheusRule")["spec"]["groups"] == alerts["groups"][:1]


def test_a_package_has_alerts_and_dashboards_in_it(helm: Any, tmp_path: Path) -> None:
    packed = helm.Chart.load_archive(Path(helm.Chart.load(CHART).save(tmp_path)).read_bytes())
    given = values("standard")
    assert packed.render(given, name="a") == helm.Chart.load(CHART).render(given, name="a")


def test_the_dashboards_are_those_of_grafana(helm: Any) -> None:
    found = of_kind(rendered(helm, values("standard")), "ConfigMap", "shelfwise-dashboards")["data"]
    files = list((DEPLOY / "grafana" / "dashboards").glob("*.json"))
    assert len(found) == len(files) == 2
    for file in files:
        assert json.loads(found[f"shelfwise-{file.name}"]) == json.loads(file.read_text(encoding="utf-8"))


def test_selectors_find_the_pods(helm: Any) -> None:
    """Under another name of the release, too."""
    documents = rendered(helm, values("ha"), name="blue")
    pods = of_kind(documents, "Deployment", "blue-shelfwise")["spec"]["template"]["metadata"]["labels"]
    service = of_kind(documents, "Service", "blue-shelfwise")
    selectors = [
        service["spec"]["selector"],
        of_kind(documents, "PodDisruptionBudget", "blue-shelfwise")["spec"]["selector"]["matchLabels"],
        of_kind(documents, "NetworkPolicy", "blue-shelfwise")["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= pods.items() for selector in selectors)
    monitor = of_kind(documents, "ServiceMonitor", "blue-shelfwise")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    night = of_kind(documents, "Deployment", "blue-shelfwise-night-metrics")["spec"]["template"]["metadata"]["labels"]
    assert not any(selector.items() <= night.items() for selector in selectors)


def test_servers_are_scaled_by_requests_in_flight_where_said_else_by_cpu(helm: Any) -> None:
    by = {
        size: of_kind(rendered(helm, values(size)), "HorizontalPodAutoscaler")["spec"]["metrics"][0]["type"]
        for size in ("standard", "ha")
    }
    assert by == {"standard": "Resource", "ha": "Pods"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"replicas": "two"},
        {"replica": 2},
        {"image": {"pullPolicy": "Sometimes"}},
        {"settings": {"EPOCHS": "3"}},
        {"settings": {"SHELFWISE_SERVING__CACHE_SIZE": 0}},
        {"apiKeys": {"scoped": {"shop": {"key": "shop-key", "scopes": ["everything"]}}}},
        {"milvus": {"uri": "milvus:19530"}},
        {"redis": {"tls": {"ca": "../ca.crt"}}},
        {"objectStore": {"endpoint": "store:9000"}},
        {"trust": {"existingSecret": "Authorities"}},
        {"home": {"size": "twenty"}},
        {"resources": {"requests": {"memory": "1 GB"}}},
        {"drainSeconds": 0},
        {"autoscaling": {"cpuPercent": 150}},
    ],
    ids=json.dumps,
)
def test_a_wrong_value_is_refused(helm: Any, wrong: dict[str, Any]) -> None:
    chart = helm.Chart.load(CHART)
    chart.validate_schema(values("standard"))
    with pytest.raises(helm.HelmValuesError):
        chart.validate_schema(values("standard", wrong))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"apiKeys": {"existingSecret": ""}}, "apiKeys.allowOpen"),
        ({"redis": {"existingSecret": ""}}, "redis.existingSecret"),
        ({"milvus": {"uri": ""}}, "milvus.uri"),
        ({"redis": {"tls": {"existingSecret": "redis-tls", "cert": "tls.crt"}}}, "redis.tls.key"),
        ({"redis": {"tls": {"cert": "tls.crt", "key": "tls.key"}}}, "redis.tls.existingSecret"),
        ({"settings": {"SHELFWISE_SHOP": "other"}}, "settings.SHELFWISE_SHOP"),
    ],
)
def test_what_is_missing_is_said(helm: Any, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(helm.HelmRenderError, match=re.escape(says)):
        rendered(helm, values("minimal", wrong))


def test_the_schema_knows_the_values_that_there_are_and_no_others() -> None:
    def same(given: dict[str, Any], schema: dict[str, Any], place: str) -> None:
        if "properties" not in schema:
            return
        assert schema["additionalProperties"] is False, place
        assert given.keys() <= schema["properties"].keys(), place
        for name, value in given.items():
            if isinstance(value, dict):
                same(value, schema["properties"][name], f"{place}.{name}")

    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert yaml.safe_load(text).keys() | {"global"} == schema["properties"].keys()
    same(yaml.safe_load(text), schema, "values")
