//! What the standalone mode promises, read from the rendered objects.

use serde_json::{Value, json};

use crate::chart::{Objects, at, list, text};

#[test]
fn the_pod_is_restricted_and_has_no_token() {
    for values in ["minimal", "full", "existing-secrets", "gateway", "memory-history"] {
        let objects = Objects::render(values, &[]);
        let pod = objects.pod();
        assert_eq!(at(pod, "/automountServiceAccountToken"), false);
        assert_eq!(at(objects.only("ServiceAccount"), "/automountServiceAccountToken"), false);
        assert_eq!(at(pod, "/enableServiceLinks"), false);
        assert_eq!(at(pod, "/securityContext/runAsNonRoot"), true);
        assert_eq!(at(pod, "/securityContext/seccompProfile/type"), "RuntimeDefault");
        for absent in ["hostNetwork", "hostPID", "hostIPC"] {
            assert_eq!(pod.get(absent), None, "{values}: {absent}");
        }
        restricted(at(pod, "/containers/0"));
    }
}

/// What the restricted Pod Security standard asks of a container, and a root that cannot be written.
pub fn restricted(container: &Value) {
    let context = at(container, "/securityContext");
    assert_eq!(at(context, "/runAsNonRoot"), true);
    assert_eq!(at(context, "/allowPrivilegeEscalation"), false);
    assert_eq!(at(context, "/readOnlyRootFilesystem"), true);
    assert_eq!(at(context, "/capabilities"), &json!({ "drop": ["ALL"] }));
    assert_eq!(at(context, "/seccompProfile/type"), "RuntimeDefault");
    assert_eq!(context.get("privileged"), None);
    assert_ne!(at(context, "/runAsUser"), 0);
}

/// Probes, drain and resources, the same alone and beside an application.
pub fn probed_and_drained(container: &Value, admin_port: &str) {
    for (probe, path) in [("startup", "/livez"), ("liveness", "/livez"), ("readiness", "/readyz")] {
        let get = at(container, &format!("/{probe}Probe/httpGet"));
        assert_eq!(get, &json!({ "path": path, "port": admin_port }), "{probe}");
    }
    assert_eq!(at(container, "/lifecycle/preStop/exec/command"), &json!(["/cottontail", "drain"]));
    assert_eq!(text(container, "/workingDir"), "/etc/cottontail");
    for resource in ["requests/cpu", "requests/memory", "limits/memory"] {
        assert!(at(container, &format!("/resources/{resource}")).is_string());
    }
    assert_eq!(container.pointer("/resources/limits/cpu"), None, "it would delay events");
}

#[test]
fn a_rollout_takes_nothing_away_before_there_is_something_new() {
    let objects = Objects::render("minimal", &[]);
    let strategy = at(objects.only("Deployment"), "/spec/strategy/rollingUpdate");
    assert_eq!(strategy, &json!({ "maxSurge": 1, "maxUnavailable": 0 }));
    probed_and_drained(at(objects.pod(), "/containers/0"), "admin");
    let spread = list(objects.pod(), "/topologySpreadConstraints");
    let keys: Vec<_> = spread.iter().map(|constraint| text(constraint, "/topologyKey")).collect();
    assert_eq!(keys, ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]);
    let selector = at(objects.only("Deployment"), "/spec/selector");
    assert!(spread.iter().all(|constraint| at(constraint, "/labelSelector") == selector));
}

#[test]
fn the_end_is_longer_than_the_drain_and_the_grace_time_together() {
    let end = |set: &[&str]| at(Objects::render("minimal", set).pod(), "/terminationGracePeriodSeconds").clone();
    assert_eq!(end(&[]), 3 + 10 + 25 + 5);
    let set = ["config.server.grace=2m 30s", "config.server.drain_window=1min", "config.server.drain_delay=500ms"];
    assert_eq!(end(&set), 60 + 150 + 5);
    assert_eq!(end(&["terminationGracePeriodSeconds=26"]), 26);
}

#[test]
fn pods_are_replaced_when_configuration_or_secrets_of_the_chart_change() {
    let checksums = |set: &[&str]| {
        let objects = Objects::render("minimal", set);
        let annotations = at(objects.only("Deployment"), "/spec/template/metadata/annotations").clone();
        ["config", "secret"].map(|what| annotations[format!("checksum/{what}")].as_str().map(str::to_owned))
    };
    let before = checksums(&[]);
    assert!(before.iter().all(Option::is_some), "{before:?}");
    assert_eq!(checksums(&["replicaCount=5"]), before);
    let config = checksums(&["config.stream.heartbeat=20s"]);
    assert!(config[0] != before[0] && config[1] == before[1]);
    let secret = checksums(&["issuers[0].secret=another-one-0123456789abcdef01234567"]);
    assert!(secret[0] == before[0] && secret[1] != before[1]);
}

#[test]
fn existing_secrets_are_mounted_and_none_is_made() {
    let objects = Objects::render("existing-secrets", &[]);
    assert!(objects.find("Secret").is_none(), "{:?}", objects.names());
    let projected = at(objects.pod(), "/volumes/1/projected");
    let expected = [
        ("secret", "shop-tls", "tls.crt", "tls.crt"),
        ("secret", "shop-tls", "tls.key", "tls.key"),
        ("secret", "rabbitmq-cottontail", "uris", "amqp-urls"),
        ("secret", "rabbitmq-tls", "ca.crt", "amqp-ca.pem"),
        ("secret", "shop-jwt", "hmac", "issuer-0"),
        ("configMap", "id-keys", "issuer.pem", "issuer-1"),
        ("secret", "partner-keys", "jwks.json", "issuer-2"),
    ]
    .map(|(kind, name, key, path)| json!({ kind: { "name": name, "items": [{ "key": key, "path": path }] } }));
    assert_eq!(list(projected, "/sources"), &expected);
    assert_eq!(at(projected, "/defaultMode"), 0o440, "read through the pod's group");
    assert_eq!(at(objects.pod(), "/securityContext/fsGroup"), 65532);
    assert_eq!(at(Objects::render("full", &[]).only("Ingress"), "/spec/tls/0/secretName"), "shop-tls");
}

#[test]
fn a_budget_is_only_for_more_than_one_replica() {
    let budget = |set: &[&str]| Objects::render("minimal", set).find("PodDisruptionBudget").cloned();
    assert_eq!(at(&budget(&[]).expect("two replicas"), "/spec/maxUnavailable"), 1);
    assert_eq!(budget(&["replicaCount=1"]), None);
    assert_eq!(budget(&["autoscaling.enabled=true", "autoscaling.minReplicas=1"]), None);
    assert!(budget(&["autoscaling.enabled=true", "autoscaling.minReplicas=2", "replicaCount=1"]).is_some());
    assert_eq!(budget(&["podDisruptionBudget.enabled=false"]), None);
}

#[test]
fn the_autoscaler_follows_the_open_streams_and_owns_the_number_of_replicas() {
    let objects = Objects::render("full", &[]);
    let metric = json!({ "type": "Pods", "pods": {
        "metric": { "name": "sse_active_connections" },
        "target": { "type": "AverageValue", "averageValue": "15000" },
    } });
    assert_eq!(list(objects.only("HorizontalPodAutoscaler"), "/spec/metrics"), &[metric]);
    assert_eq!(at(objects.only("Deployment"), "/spec").get("replicas"), None);
    assert_eq!(at(Objects::render("minimal", &[]).only("Deployment"), "/spec/replicas"), 2);
}

#[test]
fn the_admin_port_is_open_to_monitoring_alone() {
    let objects = Objects::render("minimal", &[]);
    let rules = list(objects.only("NetworkPolicy"), "/spec/ingress");
    let [http, admin] = &rules[..] else { panic!("{rules:?}") };
    assert_eq!((at(http, "/ports/0/port"), http.get("from")), (&json!(8080), None));
    assert_eq!(at(admin, "/ports/0/port"), 9090);
    let name = "/from/0/namespaceSelector/matchLabels/kubernetes.io~1metadata.name";
    assert_eq!(text(admin, name), "monitoring");
    let closed = Objects::render("minimal", &["networkPolicy.adminFrom=null"]);
    assert_eq!(list(closed.only("NetworkPolicy"), "/spec/ingress").len(), 1, "an empty list would mean everybody");
}

#[test]
fn a_route_has_no_timeouts_unless_they_are_set() {
    let objects = Objects::render("gateway", &[]);
    let rule = at(objects.only("HTTPRoute"), "/spec/rules/0");
    assert_eq!(rule.get("timeouts"), None);
    assert_eq!(at(rule, "/backendRefs/0"), &json!({ "name": "shop-cottontail", "port": 80 }));
    let objects = Objects::render("full", &[]);
    assert_eq!(at(objects.only("HTTPRoute"), "/spec/rules/0/timeouts"), &json!({ "request": "0s" }));
}

#[test]
fn services_routes_and_monitors_lead_to_ports_that_are_there() {
    let objects = Objects::render("full", &[]);
    let service = objects.only("Service");
    let ports: Vec<_> = list(service, "/spec/ports").iter().map(|port| text(port, "/targetPort")).collect();
    let container = at(objects.pod(), "/containers/0");
    let names: Vec<_> = list(container, "/ports").iter().map(|port| text(port, "/name")).collect();
    assert_eq!((ports, &names[..]), (vec!["http", "admin"], &["http", "admin"][..]));
    assert_eq!(at(service, "/spec/selector"), at(objects.only("Deployment"), "/spec/selector/matchLabels"));
    for path in list(objects.only("Ingress"), "/spec/rules/0/http/paths") {
        assert_eq!(at(path, "/backend/service"), &json!({ "name": "events", "port": { "name": "http" } }));
    }
    assert_eq!(text(objects.only("ServiceMonitor"), "/spec/endpoints/0/port"), "admin");
    let monitored = Objects::render("minimal", &["podMonitor.enabled=true"]);
    assert_eq!(text(monitored.only("PodMonitor"), "/spec/podMetricsEndpoints/0/port"), "admin");
}
