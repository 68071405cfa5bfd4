"""Nights on Kubernetes: the pod that dagster-k8s itself makes of ``dagster-values.yaml``.

Dagster's chart is not here; ``launcher_config`` and ``of_the_code_server`` are what its templates
``dagsterYaml.runLauncher.k8s`` and ``dagsterUserDeployments.k8sContainerContext`` make of the values we give. Needs
``pip install -c constraints.txt '.[deploy]' kubernetes-validate``.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

FILE = Path(__file__).parents[2] / "infra" / "deploy" / "dagster-values.yaml"
VALUES: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
(NIGHTS,) = VALUES["dagster-user-deployments"]["deployments"]
RUNS = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: none, user: {}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
current-context: none
"""


def launcher_config(kubeconfig: Path) -> dict[str, Any]:
    sections = {"containerConfig": "container_config", "podSpecConfig": "pod_spec_config"}
    sections |= {"jobSpecConfig": "job_spec_config"}
    assert set(RUNS["runK8sConfig"]) == set(sections)
    return {
        "load_incluster_config": False,
        "kubeconfig_file": str(kubeconfig),
        "service_account_name": "dagster",
        "instance_config_map": "dagster-instance",
        "dagster_home": "/opt/dagster/dagster_home",
        "postgres_password_secret": "dagster-postgresql-secret",
        "env_config_maps": [one["name"] for one in RUNS["envConfigMaps"]],
        "env_secrets": [one["name"] for one in RUNS["envSecrets"]],
        "volumes": RUNS["volumes"],
        "volume_mounts": RUNS["volumeMounts"],
        "run_k8s_config": {sections[name]: given for name, given in RUNS["runK8sConfig"].items()},
    }


def of_the_code_server() -> dict[str, Any]:
    """What runs inherit from it, above the launcher's."""
    if not NIGHTS["includeConfigInLaunchedRuns"]["enabled"]:
        return {}
    return {"k8s": {"resources": NIGHTS["resources"], "env_config_maps": ["dagster-nights-user-env"]}}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    k8s = pytest.importorskip("dagster_k8s", reason="pip install '.[deploy]'")
    import kubernetes.client
    from dagster._config import process_config, resolve_to_config_type
    from dagster_k8s.container_context import K8sContainerContext
    from dagster_k8s.job import construct_dagster_k8s_job

    file = tmp_path_factory.mktemp("kube") / "config"
    file.write_text(KUBECONFIG, encoding="utf-8")
    read = process_config(resolve_to_config_type(k8s.K8sRunLauncher.config_type()), launcher_config(file))
    assert read.success, read.errors
    launcher = k8s.K8sRunLauncher(**read.value)
    origin = SimpleNamespace(repository_origin=SimpleNamespace(container_context=of_the_code_server()))
    run = SimpleNamespace(job_code_origin=origin, remote_job_origin=None, tags={})
    context = K8sContainerContext.create_for_run(run, launcher, include_run_tags=False)
    made = construct_dagster_k8s_job(
        context.get_k8s_job_config("shelfwise:0.1.0", launcher),
        ["dagster", "api", "execute_run"],
        "dagster-run",
        user_defined_k8s_config=context.run_k8s_config,
    )
    document: dict[str, Any] = kubernetes.client.ApiClient().sanitize_for_serialization(made)
    return document


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_kubernetes_takes_it(job: dict[str, Any], version: str) -> None:
    kubernetes = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    kubernetes.validate(job, version, strict=True)


def test_a_night_has_its_own_resources_and_not_the_code_servers(job: dict[str, Any]) -> None:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == RUNS["runK8sConfig"]["containerConfig"]["resources"]
    assert container["resources"] != NIGHTS["resources"]


def test_a_night_may_write_to_the_home_and_nowhere_else(job: dict[str, Any]) -> None:
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"] == NIGHTS["podSecurityContext"]
    assert container["securityContext"] == NIGHTS["securityContext"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert {one["mountPath"] for one in container["volumeMounts"]} == {"/var/lib/shelfwise", "/tmp"}


def test_a_night_has_the_settings_of_the_code_server(job: dict[str, Any]) -> None:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert [one for one in NIGHTS["env"] if one not in container["env"]] == []
    assert [{"configMapRef": one} for one in NIGHTS["envConfigMaps"]] == container["envFrom"]
