"""The Kubernetes overlays: valid, and consistent with each other and with the service."""

import re
import tomllib
from functools import cache

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest

from consumer import roles
from consumer.settings import Settings, load
from consumer.signature import PLATFORM_ADDRESSES
from tests.deploy.manifests import (
    DEPLOY,
    OVERLAYS,
    ROOT,
    SECRET,
    Resource,
    complaints,
    of_kind,
    rendered,
)

OLDEST = "1.30"  # the oldest version that these files are meant for
LEASE_MARGIN = 15  # seconds by which a lease outlasts PLATFORM_TIMEOUT at most (DESIGN)


@cache
def resources(overlay: str) -> list[Resource]:
    return rendered(overlay)


DEPLOYMENTS = (
    ("single", "order-rescue"),
    ("replicas", "order-rescue"),
    ("roles", "order-rescue-webhooks"),
    ("roles", "order-rescue-worker"),
)
each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
each_deployment = pytest.mark.parametrize(("overlay", "name"), DEPLOYMENTS)


def deployment(overlay: str, name: str) -> Resource:
    [found] = [
        d for d in of_kind(resources(overlay), "Deployment") if d["metadata"]["name"] == name
    ]
    return found


def pod(overlay: str, name: str) -> Resource:
    found: Resource = deployment(overlay, name)["spec"]["template"]["spec"]
    return found


def container(overlay: str, name: str) -> Resource:
    [found] = pod(overlay, name)["containers"]
    assert isinstance(found, dict)
    return found


def labels(overlay: str) -> list[dict[str, str]]:
    """Those of the pods of every Deployment."""
    found = of_kind(resources(overlay), "Deployment")
    return [each["spec"]["template"]["metadata"]["labels"] for each in found]


def settings(overlay: str) -> dict[str, str]:
    [found] = of_kind(resources(overlay), "ConfigMap")
    data: dict[str, str] = found["data"]
    return data


def cidrs(overlay: str) -> set[str]:
    return {
        peer["ipBlock"]["cidr"]
        for policy in of_kind(resources(overlay), "NetworkPolicy")
        for rule in policy["spec"].get("ingress", ())
        for peer in rule["from"]
        if "ipBlock" in peer
    }


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@each_overlay
def test_every_resource_fits_the_schemas_of_kubernetes(overlay: str, version: str) -> None:
    assert len(resources(overlay)) >= 5
    for resource in resources(overlay):
        kubernetes_validate.validate(resource, version, strict=True)


def test_a_field_that_kubernetes_does_not_have_would_be_seen() -> None:
    wrong = deployment("single", "order-rescue") | {"spec": {"replica": 1}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(wrong, OLDEST, strict=True)


def test_every_deployment_is_looked_at() -> None:
    assert set(DEPLOYMENTS) == {
        (overlay, found["metadata"]["name"])
        for overlay in OVERLAYS
        for found in of_kind(resources(overlay), "Deployment")
    }


@each_overlay
def test_the_service_takes_the_settings(overlay: str) -> None:
    database = {"ORDER_RESCUE_DATABASE_URL": "postgresql://u:p@db/orders"}
    assert complaints(SECRET | database | settings(overlay)) == []
    assert all(name.startswith("ORDER_RESCUE_") for name in settings(overlay))


@each_overlay
def test_secrets_are_named_and_not_contained(overlay: str) -> None:
    assert list(of_kind(resources(overlay), "Secret")) == []
    assert not SECRET.keys() & settings(overlay).keys()
    assert "@" not in settings(overlay).get("ORDER_RESCUE_DATABASE_URL", "")


@each_overlay
def test_the_network_policy_lists_the_platforms_addresses(overlay: str) -> None:
    assert cidrs(overlay) == set(PLATFORM_ADDRESSES)
    assert settings(overlay)["ORDER_RESCUE_WEBHOOK_ALLOW"] == "platform"


@each_overlay
def test_no_policy_or_budget_is_about_other_pods(overlay: str) -> None:
    for resource in resources(overlay):
        spec = resource.get("spec", {})
        if resource["kind"] not in ("NetworkPolicy", "PodDisruptionBudget"):
            continue
        selector = spec.get("podSelector") or spec.get("selector")
        chosen = selector["matchLabels"]
        assert chosen["app.kubernetes.io/name"] == "order-rescue"
        assert [each for each in labels(overlay) if chosen.items() <= each.items()] != []


@each_overlay
def test_the_service_has_one_name_in_all_overlays_and_leads_to_what_answers(overlay: str) -> None:
    [service] = of_kind(resources(overlay), "Service")
    assert service["metadata"]["name"] == "order-rescue"
    chosen = service["spec"]["selector"].items()
    [found] = [each for each in labels(overlay) if chosen <= each.items()]
    assert found.get("app.kubernetes.io/component", "webhooks") == "webhooks"


@each_overlay
def test_an_autoscaler_and_a_budget_belong_to_every_deployment_of_several_pods(
    overlay: str,
) -> None:
    several = {
        found["metadata"]["name"]
        for found in of_kind(resources(overlay), "Deployment")
        if "replicas" not in found["spec"]
    }
    scaled = {
        scaler["spec"]["scaleTargetRef"]["name"]
        for scaler in of_kind(resources(overlay), "HorizontalPodAutoscaler")
    }
    kept = {b["metadata"]["name"] for b in of_kind(resources(overlay), "PodDisruptionBudget")}
    assert scaled == kept == several


@each_overlay
def test_the_image_is_this_version(overlay: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for found in of_kind(resources(overlay), "Deployment"):
        [image] = [c["image"] for c in found["spec"]["template"]["spec"]["containers"]]
        assert image == f"order-rescue:{version}"


@each_deployment
def test_settings_come_from_the_config_map_that_is_there_and_the_secret(
    overlay: str, name: str
) -> None:
    [made] = of_kind(resources(overlay), "ConfigMap")
    assert container(overlay, name)["envFrom"] == [
        {"configMapRef": {"name": made["metadata"]["name"]}},
        {"secretRef": {"name": "order-rescue-secrets"}},
    ]
    assert pod(overlay, name)["enableServiceLinks"] is False


@each_deployment
def test_the_pod_can_do_nothing_but_its_work(overlay: str, name: str) -> None:
    spec = pod(overlay, name)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(overlay, name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@each_deployment
def test_the_user_is_that_of_the_image(overlay: str, name: str) -> None:
    context = pod(overlay, name)["securityContext"]
    user = f"{context['runAsUser']}:{context['runAsGroup']}"
    assert f"\nUSER {user}\n" in (DEPLOY / "Dockerfile").read_text()
    assert context["fsGroup"] == context["runAsGroup"]


@each_deployment
def test_probes_ask_what_they_mean(overlay: str, name: str) -> None:
    asked = {
        kind: container(overlay, name)[f"{kind}Probe"]["httpGet"]
        for kind in ("startup", "readiness", "liveness")
    }
    assert asked == {
        "startup": {"path": "/readyz", "port": "http"},
        "readiness": {"path": "/readyz", "port": "http"},
        "liveness": {"path": "/healthz", "port": "http"},
    }
    port = {"name": "http", "containerPort": Settings.model_fields["port"].default}
    assert container(overlay, name)["ports"] == [port]


@each_deployment
def test_termination_waits_longer_than_the_drain(overlay: str, name: str) -> None:
    before = container(overlay, name)["lifecycle"]["preStop"]["exec"]["command"]
    drain = Settings.model_fields["platform_timeout"].default + LEASE_MARGIN
    assert before[0] == "sleep"
    assert pod(overlay, name)["terminationGracePeriodSeconds"] > int(before[1]) + drain


@each_deployment
def test_the_pod_asks_for_what_it_needs(overlay: str, name: str) -> None:
    assert container(overlay, name)["resources"]["requests"].keys() == {"cpu", "memory"}
    assert container(overlay, name)["resources"]["limits"].keys() == {"memory"}


@each_deployment
def test_several_pods_are_spread_over_hosts_and_zones(overlay: str, name: str) -> None:
    spread = pod(overlay, name).get("topologySpreadConstraints", [])
    several = "replicas" not in deployment(overlay, name)["spec"]
    keys = {"kubernetes.io/hostname", "topology.kubernetes.io/zone"} if several else set()
    assert {constraint["topologyKey"] for constraint in spread} == keys
    own = deployment(overlay, name)["spec"]["template"]["metadata"]["labels"]
    assert all(c["labelSelector"]["matchLabels"] == own for c in spread)


def test_one_process_on_sqlite_has_its_volume_to_itself() -> None:
    found = deployment("single", "order-rescue")["spec"]
    assert found["replicas"] == 1
    assert found["strategy"] == {"type": "Recreate"}
    path = settings("single")["ORDER_RESCUE_DATABASE_URL"].removeprefix("sqlite:///")
    mounts = {
        m["mountPath"]: m["name"] for m in container("single", "order-rescue")["volumeMounts"]
    }
    assert mounts[path.rpartition("/")[0]] == "data"


def test_the_roles_together_are_all_there_is() -> None:
    found: list[roles.Role] = []
    database = {"ORDER_RESCUE_DATABASE_URL": "postgresql://u:p@db/orders"}
    environment = SECRET | database | settings("roles")
    for name in ("order-rescue-webhooks", "order-rescue-worker"):
        serve, only, value = container("roles", name)["args"]
        assert (serve, only) == ("serve", "--only")
        wanted = roles.parsed(value)
        roles.require(value, wanted, load(environment | roles.overrides(wanted), env_file=None))
        found += wanted
    assert sorted(found) == sorted(roles.Role)


def test_workers_are_called_by_nobody_but_prometheus() -> None:
    worker = {"app.kubernetes.io/component": "worker"}.items()
    policies = [
        policy
        for policy in of_kind(resources("roles"), "NetworkPolicy")
        if worker <= policy["spec"]["podSelector"]["matchLabels"].items()
    ]
    [policy] = policies
    [rule] = policy["spec"]["ingress"]
    assert re.findall(r"metadata.name': '([a-z-]+)'", str(rule["from"])) == ["monitoring"]
