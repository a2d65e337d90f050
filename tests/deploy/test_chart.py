"""The Helm chart, rendered by Helm's own library: valid, confined, told settings that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from blocks import ROOT
from jsonschema import Draft202012Validator, ValidationError

from clickstream.features.shop_file import built_in_file
from clickstream.infra.settings import Settings
from clickstream.records.shops import load_shop

helm = pytest.importorskip("helm_python", reason="Helm's library is a wheel for Linux on x86-64 alone")

CHART = ROOT / "deploy" / "helm" / "clickstream-scoring"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
CRDS = json.loads((Path(__file__).with_name("crds.json")).read_text())
VERSIONS = ("1.35", "1.36", "1.37")
Object = dict[str, Any]


def values_of_the_page() -> list[Object]:
    """The values files of docs/kubernetes.md: the one it begins with, and what is added for own users."""
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(blocks[0].splitlines()) <= 10
    return [yaml.safe_load(block) for block in blocks]


PAGE, OWN_USERS_OF_THE_PAGE = values_of_the_page()

FEWEST: Object = {
    "image": {"repository": "registry.example.com/clickstream-scoring"},
    "settings": {"kafka_bootstrap": "kafka:9092", "redis_url": "redis://redis:6379/0"},
    "topics": {"create": False},
    "networkPolicy": {"enabled": False},
}

FULL: Object = PAGE | {
    "image": {
        "repository": "registry.example.com/clickstream-scoring",
        "digest": f"sha256:{'a' * 64}",
        "pullSecrets": [{"name": "registry"}],
    },
    "secret": {
        "name": "clickstream",
        "files": ["kafka_password", "kafka_ca", "redis_password", "redis_ca", "bundle_key", "lookup_token"],
    },
    "env": [{"name": "AWS_ENDPOINT_URL_S3", "value": "https://objects.example.com"}],
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/models"}},
    "consumer": {"nodeSelector": {"disk": "fast"}, "tolerations": [{"key": "a", "operator": "Exists"}]},
    "scaling": {"enabled": True},
    "lookup": {"enabled": True},
    "networkPolicy": {"clients": [{"podSelector": {"matchLabels": {"app": "shop"}}}]},
    "monitoring": {
        "enabled": True,
        "labels": {"release": "prometheus"},
        "runbookUrl": "https://docs.example.com/operations/",
    },
}

LOOKUP_TLS: Object = FULL | {
    "secret": {
        "name": "clickstream",
        "files": [*FULL["secret"]["files"], "lookup_certificate", "lookup_key"],
    },
    "monitoring": {
        "enabled": True,
        "lookupTlsConfig": {
            "serverName": "lookup.example.com",
            "ca": {"secret": {"name": "lookup-ca", "key": "ca.crt"}},
        },
    },
}

OWN_USERS: Object = FULL | OWN_USERS_OF_THE_PAGE

OWN_SHOP: Object = FULL | {"shopFile": built_in_file("online-store").decode() + '# "quoted": {{ it }}\n'}

ALL_VALUES = {
    "fewest": FEWEST,
    "the page's": PAGE,
    "full": FULL,
    "with TLS": LOOKUP_TLS,
    "own users": OWN_USERS,
    "own shop": OWN_SHOP,
}


@cache
def rendered(name: str) -> tuple[Object, ...]:
    return tuple(render(ALL_VALUES[name]))


def render(values: Object) -> Iterator[Object]:
    with helm.Chart.load(str(CHART)) as chart:
        files = chart.render(values, name="shop", namespace="scoring")
    for file, text in files.items():
        if file.endswith(".yaml"):
            yield from filter(None, yaml.safe_load_all(text))


def of_kind(objects: tuple[Object, ...], kind: str) -> list[Object]:
    return [one for one in objects if one["kind"] == kind]


def pods(objects: tuple[Object, ...]) -> list[Object]:
    return [
        one["spec"]["template"]["spec"]
        for one in objects
        if one["kind"] in ("StatefulSet", "Deployment", "Job")
    ]


def environment(pod: Object) -> dict[str, str | None]:
    (container,) = pod["containers"]
    names = [one["name"] for one in container["env"]]
    assert len(names) == len(set(names))
    return {one["name"]: one.get("value") for one in container["env"]}


def problems(one: Object, version: str) -> str | None:
    """Why Kubernetes would not take an object; None where it would."""
    custom = CRDS.get(f"{one['apiVersion']} {one['kind']}")
    try:
        if custom is not None:
            Draft202012Validator(custom).validate(one)
        else:
            kubernetes_validate.validate(one, version, strict=True)
    except (ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return f"{one['kind']} {one['metadata']['name']}: {error}"
    return None


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_one_of_this_version_of_kubernetes(version: str) -> None:
    different = {json.dumps(one): one for name in ALL_VALUES for one in rendered(name)}
    assert [problem for one in different.values() if (problem := problems(one, version))] == []


@pytest.mark.parametrize("kind", ["StatefulSet", "ScaledObject", "PrometheusRule"])
def test_a_field_that_there_is_not_would_be_found(kind: str) -> None:
    (one,) = of_kind(rendered("full"), kind)
    assert problems(one | {"spec": one["spec"] | {"replicsa": 1}}, VERSIONS[0]) is not None


def test_helm_finds_nothing_wrong_with_it() -> None:
    for values in ALL_VALUES.values():
        found = helm.lint(str(CHART), values)
        assert found["errors"] == []
        assert [one["error"] for one in found["messages"]] == ["icon is recommended"]


def test_what_is_made_is_what_was_asked_for() -> None:
    kinds = {name: sorted({one["kind"] for one in rendered(name)}) for name in ALL_VALUES}
    assert kinds["fewest"] == ["PodDisruptionBudget", "Service", "ServiceAccount", "StatefulSet"]
    assert set(kinds["the page's"]) - set(kinds["fewest"]) == {"Job", "NetworkPolicy"}
    assert set(kinds["full"]) - set(kinds["the page's"]) == {
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "PrometheusRule",
        "ScaledObject",
        "ServiceMonitor",
        "TriggerAuthentication",
    }


@pytest.mark.parametrize("name", list(ALL_VALUES))
def test_no_pod_is_root_may_write_or_holds_a_token(name: str) -> None:
    for pod in pods(rendered(name)):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        writable = {one["mountPath"] for one in container["volumeMounts"] if not one.get("readOnly")}
        assert writable <= {"/tmp", "/var/lib/clickstream"}
        mounted = {one["name"] for one in container["volumeMounts"]}
        assert mounted == {one["name"] for one in pod["volumes"]}


@pytest.mark.parametrize("name", list(ALL_VALUES))
def test_a_pod_is_told_settings_that_there_are(name: str) -> None:
    for pod in pods(rendered(name)):
        told = environment(pod)
        ours = {
            variable.removeprefix("CLICKSTREAM_").lower(): value
            for variable, value in told.items()
            if variable.startswith("CLICKSTREAM_")
        }
        assert set(ours) <= set(Settings.model_fields)
        given = {setting: value for setting, value in ours.items() if value is not None}
        settings = Settings.model_validate(given)
        assert settings.metrics_port in (0, 9_100)


def listed(name: str) -> list[str]:
    """A list that the chart's helpers hold."""
    helpers = (CHART / "templates" / "_helpers.tpl").read_text()
    (found,) = re.findall(rf'define "clickstream\.{name}" -}}}}\n(.*?){{{{- end', helpers, re.DOTALL)
    names: list[str] = yaml.safe_load(found)
    return names


def test_the_page_encrypts_what_goes_to_kafka_and_redis() -> None:
    values = PAGE
    assert values["settings"]["kafka_security_protocol"] == "SASL_SSL"
    assert values["settings"]["redis_url"].startswith("rediss://")
    assert {"kafka_ca", "redis_ca"} <= set(values["secret"]["files"])


def test_the_chart_knows_which_settings_are_secrets() -> None:
    secrets = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert listed("secrets") == sorted(secrets - {"redis_url"})


def test_the_chart_knows_which_settings_are_read_from_files() -> None:
    files = {name.removesuffix("_file") for name in Settings.model_fields if name.endswith("_file")}
    assert listed("files") == sorted(files)


@pytest.mark.parametrize("name", [*listed("secrets"), "KAFKA_PASSWORD"])
def test_a_secret_among_the_settings_is_refused(name: str) -> None:
    with pytest.raises(helm.HelmError, match=f"settings.{name} is a secret") as refused:
        list(render(FEWEST | {"settings": FEWEST["settings"] | {name: "do-not-tell"}}))
    assert "do-not-tell" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("redis://scoring:do-not-tell@redis:6379/0", False),
        ("rediss://:do-not-tell@redis:6379/0", False),
        ("redis://redis:6379/0?password=do-not-tell", False),
        ("redis://scoring@one:6379,two:6379/0", True),
        ("redis://one:26379,two:26379", True),
    ],
)
def test_the_url_of_redis_has_no_password(url: str, taken: bool) -> None:
    values = FEWEST | {"settings": FEWEST["settings"] | {"redis_url": url}}
    if taken:
        assert environment(pods(tuple(render(values)))[0])["CLICKSTREAM_REDIS_URL"] == url
        return
    with pytest.raises(helm.HelmError, match=r"settings.redis_url .* redis_password") as refused:
        list(render(values))
    assert "do-not-tell" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("CLICKSTREAM_KAFKA_PASSWORD", {"value": "do-not-tell"}, False),
        ("clickstream_lookup_token", {"value": "do-not-tell"}, False),
        ("CLICKSTREAM_REDIS_URL", {"value": "redis://:do-not-tell@redis/0"}, False),
        ("AWS_SECRET_ACCESS_KEY", {"value": "do-not-tell"}, False),
        ("AWS_SESSION_TOKEN", {"value": "do-not-tell"}, False),
        ("AWS_SECRET_ACCESS_KEY", {"valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}, True),
        ("CLICKSTREAM_KAFKA_PASSWORD_FILE", {"value": "/run/secrets/clickstream/other"}, True),
    ],
)
def test_a_secret_as_a_plain_variable_is_refused(name: str, value: Object, taken: bool) -> None:
    values = FEWEST | {"env": [{"name": name, **value}]}
    if taken:
        assert name in environment(pods(tuple(render(values)))[0])
        return
    with pytest.raises(helm.HelmError, match=f"env: {name} .*(secret.files|CREDENTIALS_FILE)") as refused:
        list(render(values))
    assert "do-not-tell" not in str(refused.value)


@pytest.mark.parametrize("server", ["kafka", "redis", "lookup"])
@pytest.mark.parametrize(("one", "other"), [("certificate", "key"), ("key", "certificate")])
def test_a_certificate_without_its_key_is_refused(server: str, one: str, other: str) -> None:
    values = FEWEST | {"secret": {"name": "a", "files": ["lookup_token", f"{server}_{one}"]}}
    said = f"secret.files: {server}_{one} without {server}_{other}"
    with pytest.raises(helm.HelmError, match=said):
        list(render(values))
    elsewhere = FEWEST["settings"] | {f"{server}_{other}_file": "/etc/in-the-image.pem"}
    assert list(render(values | {"settings": elsewhere}))


def test_an_image_is_the_one_of_its_digest_whatever_its_tag() -> None:
    tagged = {"repository": "registry.example.com/scoring", "tag": "0.1.0"}
    digest = f"sha256:{'a' * 64}"
    for image, named in ((tagged, ":0.1.0"), (tagged | {"digest": digest}, f"@{digest}")):
        for pod in pods(tuple(render(FULL | {"image": image}))):
            assert pod["containers"][0]["image"] == f"registry.example.com/scoring{named}"
    with pytest.raises(helm.HelmError, match="digest"):
        list(render(FULL | {"image": tagged | {"digest": "a" * 64}}))


def test_secrets_are_files_and_nothing_else() -> None:
    for pod in pods(rendered("full")):
        told = environment(pod)
        assert told["CLICKSTREAM_BUNDLE_KEY_FILE"] == "/run/secrets/clickstream/bundle_key"
        assert told["CLICKSTREAM_KAFKA_CA_FILE"] == "/run/secrets/clickstream/kafka_ca"
        assert "secretKeyRef" not in json.dumps(pod)
        assert {"name": "secret", "mountPath": "/run/secrets/clickstream", "readOnly": True} in pod[
            "containers"
        ][0]["volumeMounts"]


def test_each_component_comes_as_a_user_of_its_own_with_a_secret_of_its_own() -> None:
    came = {}
    for pod in pods(rendered("own users")):
        (container,) = pod["containers"]
        told = environment(pod)
        (secret,) = [one["secret"]["secretName"] for one in pod["volumes"] if "secret" in one]
        assert told["CLICKSTREAM_KAFKA_PASSWORD_FILE"] == "/run/secrets/clickstream/kafka_password"
        assert told["CLICKSTREAM_KAFKA_BOOTSTRAP"] == FULL["settings"]["kafka_bootstrap"]
        redis = (told["CLICKSTREAM_REDIS_URL"] or "").removesuffix("redis.data.svc:6379/0")
        files = {name for name in told if name.endswith("_FILE")}
        came[container["name"]] = told["CLICKSTREAM_KAFKA_USERNAME"], redis, secret, len(files)
    assert came == {
        "consumer": ("consumer", "rediss://consumer@", "clickstream", 6),
        "lookup": ("look-up", "rediss://look-up@", "clickstream-lookup", 6),
        "topics": ("topics", "rediss://", "clickstream-topics", 2),
    }
    (user,) = of_kind(rendered("own users"), "ConfigMap")
    assert user["data"] == {"kafka_username": "keda"}
    (authentication,) = of_kind(rendered("own users"), "TriggerAuthentication")
    secrets = {one["name"] for one in authentication["spec"]["secretTargetRef"]}
    assert secrets == {"clickstream-keda"}


def test_a_setting_of_a_component_lies_over_the_common_one_however_it_is_written() -> None:
    settings = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "kafka_username": "keda"}
    values = FULL | {"scaling": {"enabled": True, "settings": settings | {"KAFKA_SASL_MECHANISM": "PLAIN"}}}
    (scaled,) = of_kind(tuple(render(values)), "ScaledObject")
    assert scaled["spec"]["triggers"][0]["metadata"]["sasl"] == "plaintext"


def test_consumers_and_look_up_go_by_the_shop_file(tmp_path: Path) -> None:
    objects = rendered("own shop")
    (file,) = [one for one in of_kind(objects, "ConfigMap") if one["metadata"]["name"] == "shop-shop"]
    for kind in ("StatefulSet", "Deployment"):
        (one,) = of_kind(objects, kind)
        pod = one["spec"]["template"]["spec"]
        (volume,) = [
            volume["name"] for volume in pod["volumes"] if volume.get("configMap") == {"name": "shop-shop"}
        ]
        (mounted,) = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == volume]
        path = Path(environment(pod)["CLICKSTREAM_SHOP"] or "")
        assert (str(path.parent), mounted["readOnly"]) == (mounted["mountPath"], True)
        (tmp_path / path.name).write_text(file["data"][path.name])
        assert load_shop(str(tmp_path / path.name)).definition == load_shop("online-store").definition
    (job,) = of_kind(objects, "Job")
    # It runs before there is this file.
    assert "shop" not in [volume["name"] for volume in job["spec"]["template"]["spec"]["volumes"]]


def test_another_shop_file_starts_the_pods_anew() -> None:
    def marks(values: Object) -> list[Object]:
        return [
            one["spec"]["template"]["metadata"]
            for one in render(values)
            if one["kind"] in ("StatefulSet", "Deployment")
        ]

    before, after = marks(OWN_SHOP), marks(OWN_SHOP | {"shopFile": OWN_SHOP["shopFile"] + "\n"})
    assert len(before) == 2
    assert all(a != b for a, b in zip(before, after, strict=True))


def test_a_consumer_is_named_by_its_pod_probed_and_given_time_to_end_its_step() -> None:
    (consumers,) = of_kind(rendered("full"), "StatefulSet")
    pod = consumers["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (instance,) = [one for one in container["env"] if one["name"] == "CLICKSTREAM_INSTANCE"]
    assert instance["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    port = container["ports"][0]
    assert (port["name"], port["containerPort"]) == ("metrics", 9_100)
    assert environment(pod)["CLICKSTREAM_METRICS_PORT"] == "9100"
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    # A consumer ends itself half a minute after it was asked to stop.
    assert pod["terminationGracePeriodSeconds"] > 30
    assert consumers["spec"]["podManagementPolicy"] == "Parallel"


def test_a_pod_that_is_not_ready_holds_up_no_node() -> None:
    budgets = of_kind(rendered("full"), "PodDisruptionBudget")
    assert {one["metadata"]["name"] for one in budgets} == {"shop-consumer", "shop-lookup"}
    assert {one["spec"].get("unhealthyPodEvictionPolicy") for one in budgets} == {"AlwaysAllow"}


def test_selectors_find_the_pods_of_their_component_alone() -> None:
    objects = rendered("full")
    labels = {
        one["kind"]: one["spec"]["template"]["metadata"]["labels"]
        for one in objects
        if one["kind"] in ("StatefulSet", "Deployment", "Job")
    }
    for one in objects:
        spec = one.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector")
        if selector is None or one["kind"] == "ServiceMonitor":
            continue
        wanted = selector.get("matchLabels", selector).items()
        found = [kind for kind, of in labels.items() if wanted <= of.items()]
        component = one["metadata"]["name"].removeprefix("shop-")
        assert found == [{"lookup": "Deployment", "topics": "Job"}.get(component, "StatefulSet")]


def test_consumers_are_scaled_by_the_lag_of_their_group_up_to_the_partitions() -> None:
    (scaled,) = of_kind(rendered("full"), "ScaledObject")
    (consumers,) = of_kind(rendered("full"), "StatefulSet")
    assert "replicas" not in consumers["spec"], "an upgrade would undo what KEDA did"
    assert scaled["spec"]["scaleTargetRef"]["name"] == consumers["metadata"]["name"]
    assert scaled["spec"]["maxReplicaCount"] == 24
    (trigger,) = scaled["spec"]["triggers"]
    defaults = Settings()
    assert trigger["metadata"] == {
        "bootstrapServers": "kafka.kafka.svc:9093",
        "consumerGroup": defaults.group,
        "topic": defaults.clicks_topic,
        "lagThreshold": "20000",
        "offsetResetPolicy": "earliest",
        "tls": "enable",
        "sasl": "scram_sha512",
    }
    (authentication,) = of_kind(rendered("full"), "TriggerAuthentication")
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    parameters = {one["parameter"]: one["key"] for one in authentication["spec"]["secretTargetRef"]}
    assert parameters == {"ca": "kafka_ca", "password": "kafka_password"}
    (user,) = of_kind(rendered("full"), "ConfigMap")
    assert user["data"] == {"kafka_username": FULL["settings"]["kafka_username"]}
    assert authentication["spec"]["configMapTargetRef"] == [
        {"parameter": "username", "name": user["metadata"]["name"], "key": "kafka_username"}
    ]


def test_without_partitions_the_default_of_the_setting_is_the_bound() -> None:
    values = FULL | {"settings": {k: v for k, v in FULL["settings"].items() if k != "partitions"}}
    (scaled,) = of_kind(tuple(render(values)), "ScaledObject")
    assert scaled["spec"]["maxReplicaCount"] == Settings().partitions


def test_the_alerts_are_those_of_prometheus_each_with_a_whole_address() -> None:
    (rule,) = of_kind(rendered("full"), "PrometheusRule")
    (group,) = rule["spec"]["groups"]
    (written,) = yaml.safe_load(ALERTS.read_text())["groups"]
    assert len(group["rules"]) == len(written["rules"]) > 15
    for found, source in zip(group["rules"], written["rules"], strict=True):
        anchor = source["annotations"]["runbook"].partition("#")[2]
        assert found["annotations"]["runbook_url"] == f"https://docs.example.com/operations/#{anchor}"
        assert found["annotations"]["summary"] == source["annotations"]["summary"]
        assert {key: found[key] for key in source if key != "annotations"} == {
            key: source[key] for key in source if key != "annotations"
        }


def test_metrics_are_scraped_under_the_names_that_the_alerts_ask_for() -> None:
    monitors = of_kind(rendered("full"), "ServiceMonitor")
    services = {one["metadata"]["name"]: one for one in of_kind(rendered("full"), "Service")}
    jobs = set()
    for monitor in monitors:
        (endpoint,) = monitor["spec"]["endpoints"]
        service = services[monitor["metadata"]["name"]]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
        jobs |= {one["replacement"] for one in endpoint["relabelings"] if one["targetLabel"] == "job"}
    assert jobs == {"clickstream", "clickstream-lookup"}


@pytest.mark.parametrize(("name", "scheme"), [("full", "HTTP"), ("with TLS", "HTTPS")])
def test_the_lookup_is_asked_by_what_it_speaks(name: str, scheme: str) -> None:
    objects = rendered(name)
    (lookup,) = of_kind(objects, "Deployment")
    (container,) = lookup["spec"]["template"]["spec"]["containers"]
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert [probe["scheme"] for probe in probes] == [scheme] * 3
    monitors = {
        one["metadata"]["name"]: one["spec"]["endpoints"][0] for one in of_kind(objects, "ServiceMonitor")
    }
    assert monitors["shop-lookup"].get("scheme", "http") == scheme.lower()
    asked = LOOKUP_TLS["monitoring"]["lookupTlsConfig"] if scheme == "HTTPS" else None
    assert monitors["shop-lookup"].get("tlsConfig") == asked
    # A consumer's metrics are plain whatever the look-up speaks.
    assert {"scheme", "tlsConfig"}.isdisjoint(monitors["shop-consumer"])
    (consumers,) = of_kind(objects, "StatefulSet")
    (container,) = consumers["spec"]["template"]["spec"]["containers"]
    assert "scheme" not in container["readinessProbe"]["httpGet"]


def policies(objects: tuple[Object, ...]) -> Object:
    return {one["metadata"]["name"]: one["spec"] for one in of_kind(objects, "NetworkPolicy")}


def test_only_those_who_are_named_come_in() -> None:
    found = policies(rendered("full"))
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    (consumers,) = found["shop-consumer"]["ingress"]
    assert consumers["from"] == [monitoring]
    (lookup,) = found["shop-lookup"]["ingress"]
    assert lookup["from"] == [monitoring, {"podSelector": {"matchLabels": {"app": "shop"}}}]
    assert found["shop-topics"]["ingress"] == []
    for policy in found.values():
        assert policy["policyTypes"] == ["Ingress", "Egress"]


def test_the_job_is_let_out_before_it_runs() -> None:
    """A policy of the release itself would come after the hooks before it."""
    (job,) = of_kind(rendered("the page's"), "Job")
    (policy,) = [
        one
        for one in of_kind(rendered("the page's"), "NetworkPolicy")
        if one["metadata"]["name"] == "shop-topics"
    ]
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    of_job, of_policy = job["metadata"]["annotations"], policy["metadata"]["annotations"]
    assert of_policy["helm.sh/hook"] == of_job["helm.sh/hook"]
    assert int(of_policy["helm.sh/hook-weight"]) < int(of_job.get("helm.sh/hook-weight", 0))


def test_pods_go_to_dns_and_to_the_servers_where_these_are() -> None:
    servers = [
        {"ipBlock": {"cidr": "10.1.0.0/16"}},
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kafka"}}},
    ]
    named = FULL | {"networkPolicy": {"servers": servers, "ports": [9093, 6379, 443]}}
    for values, where in ((FULL, None), (named, servers)):
        for policy in policies(tuple(render(values))).values():
            names, others = policy["egress"]
            assert {one["port"] for one in names["ports"]} == {53}
            assert "to" not in names
            assert others.get("to") == where
            assert {9093, 6379} <= {one["port"] for one in others["ports"]}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kafka_bootstrap": "a:9092,b:9094"}, "9094 of settings.kafka_bootstrap"),
        ({"redis_url": "redis://redis:6380/0"}, "6380 of settings.redis_url"),
        ({"redis_url": "rediss://scoring@one:6379,two:26379"}, "26379 of settings.redis_url"),
        ({"redis_url": "redis://[fd00::1]:6400/0"}, "6400 of settings.redis_url"),
        ({"kafka_token_url": "https://login.example.com:8443/token"}, "8443 of settings.kafka_token_url"),
        ({"redis_url": "redis://redis"}, None),
        ({"kafka_bootstrap": "kafka"}, None),
        ({"redis_url": "rediss://scoring@[fd00::1]/0", "kafka_token_url": "https://login/token"}, None),
    ],
)
def test_a_port_that_the_settings_name_is_let_out(settings: Object, said: str | None) -> None:
    values = FEWEST | {"settings": FEWEST["settings"] | settings, "networkPolicy": {"enabled": True}}
    if said is None:
        assert list(render(values))
        return
    with pytest.raises(helm.HelmError, match=f"networkPolicy.ports: .*{said}"):
        list(render(values))
    assert list(render(values | {"networkPolicy": {"enabled": False}}))


def test_the_port_of_a_store_is_let_out() -> None:
    values = FEWEST | {"networkPolicy": {"enabled": True}}
    endpoint = {"name": "AWS_ENDPOINT_URL_S3", "value": "http://minio.data.svc:9000"}
    with pytest.raises(helm.HelmError, match=r"networkPolicy.ports: 9000 of env.AWS_ENDPOINT_URL_S3"):
        list(render(values | {"env": [endpoint]}))
    assert list(render(values | {"env": [endpoint | {"value": "https://minio.data.svc"}]}))


def properties(schema: Object) -> Object:
    """The names that a schema takes, those within them too; an object that takes any is empty."""
    return {name: properties(one) for name, one in schema.get("properties", {}).items()}


def test_each_value_is_in_the_schema_and_no_other() -> None:
    def names(values: Object, schema: Object) -> Object:
        return {
            name: names(value, schema.get(name, {})) if isinstance(value, dict) and schema.get(name) else {}
            for name, value in values.items()
        }

    taken = properties(json.loads((CHART / "values.schema.json").read_text()))
    assert taken.pop("global") == {}
    assert taken == names(yaml.safe_load((CHART / "values.yaml").read_text()), taken)


@pytest.mark.parametrize(
    "changed",
    [{"setings": {}}, {"consumer": {"replica": 3}}, {"scaling": {"enabled": "yes"}}, {"env": {"A": "b"}}],
)
def test_a_value_that_there_is_not_is_refused(changed: Object) -> None:
    with pytest.raises(helm.HelmError, match="schema"):
        list(render(FEWEST | changed))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"image": {}}, "image.repository"),
        ({"settings": {"redis_url": "redis://redis:6379/0"}}, "settings.kafka_bootstrap"),
        ({"settings": {"kafka_bootstrap": "kafka:9092"}}, "settings.redis_url"),
        ({"lookup": {"enabled": True}}, "lookup_token"),
        ({"secret": {"files": ["bundle_key"]}}, "secret.name"),
        (
            {"secret": {"name": "a", "files": ["kafka_pasword"]}},
            "secret.files: kafka_pasword .* kafka_password",
        ),
        ({"secret": {"name": "a", "files": ["redis_url"]}}, "secret.files: redis_url"),
        ({"consumer": {"secret": {"files": ["kafka_ca"]}}}, "consumer.secret.name"),
        ({"consumer": {"secret": {"name": "a", "files": ["ca"]}}}, "consumer.secret.files: ca is no"),
        ({"consumer": {"settings": {"instance": "a"}}}, "consumer.settings.instance is the chart's"),
        ({"consumer": {"settings": {"kafka_password": "b"}}}, "consumer.settings.kafka_password is a secret"),
        (
            {
                "lookup": {"enabled": True, "secret": {"name": "own", "files": ["redis_password"]}},
                "secret": {"name": "a", "files": ["lookup_token"]},
            },
            "lookup_token",
        ),
        (
            {"shopFile": "a", "settings": FEWEST["settings"] | {"shop": "online-store"}},
            "settings.shop .* shopFile",
        ),
        ({"settings": {"METRICS_PORT": 9200}}, "settings.METRICS_PORT is the chart's"),
        (
            {
                "scaling": {"enabled": True, "settings": {"kafka_security_protocol": "SASL_SSL"}},
            },
            "scaling: .*kafka_username",
        ),
        (
            {"scaling": {"enabled": True, "minReplicas": 9}},
            r"scaling.minReplicas: 9 .*settings.partitions \(8\)",
        ),
        (
            {
                "secret": {"name": "a", "files": ["lookup_token"]},
                "lookup": {"enabled": True, "replicas": 7},
            },
            r"lookup.replicas: 7 .*lookup.maxReplicas \(6\)",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_said_before_anything_is_installed(changed: Object, said: str) -> None:
    with pytest.raises(helm.HelmError, match=said):
        list(render(FEWEST | changed))
