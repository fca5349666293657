//! The sidecar: rendered from an application's own chart, and put by kustomize into manifests that nobody may edit.

use std::ffi::OsStr;
use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chart::{Objects, at, copy, list, path, run, template_of, text};
use crate::schemas::validate;
use crate::standalone::{probed_and_drained, restricted};

/// What the application's chart of these tests renders, with ours as its dependency.
fn application(set: &[&str]) -> Result<String, String> {
    let folder = TempDir::new().expect("a temporary folder");
    copy(&path("tests/helm/parent"), folder.path());
    copy(&path("helm/cottontail"), &folder.path().join("charts/cottontail"));
    template_of(folder.path(), None, set)
}

fn overlay() -> String {
    run("kustomize", [OsStr::new("build"), path("tests/helm/legacy").as_os_str()]).expect("kustomize builds it")
}

/// The pod's spec of a Deployment.
fn pod<'o>(objects: &'o Objects, name: &str) -> &'o Value {
    at(objects.named("Deployment", name), "/spec/template/spec")
}

fn is_a_native_sidecar(container: &Value) {
    assert_eq!(text(container, "/name"), "cottontail");
    assert_eq!(text(container, "/restartPolicy"), "Always", "a native sidecar");
    assert_eq!(text(container, "/image"), "registry.example.com/cottontail:0.1.0");
    let ports: Vec<_> = list(container, "/ports").iter().map(|port| text(port, "/name")).collect();
    assert_eq!(ports, ["sse-http", "sse-admin"], "an application has a port `http` already");
    restricted(container);
    probed_and_drained(container, "sse-admin");
}

#[test]
fn an_applications_chart_gets_the_sidecar_by_one_include() {
    let objects = Objects::parse(&application(&[]).expect("it renders"));
    let pod = pod(&objects, "one-include");
    let [sidecar] = &list(pod, "/initContainers")[..] else { panic!("{pod:#}") };
    is_a_native_sidecar(sidecar);
    assert_eq!(at(pod, "/terminationGracePeriodSeconds"), 43);
    assert_eq!(at(pod, "/volumes/0/configMap/name"), "shop-cottontail");
    assert_eq!(at(pod, "/volumes/1/projected/defaultMode"), 0o444, "the application's group is not ours");
    assert_eq!(list(pod, "/containers").len(), 1);
    let config = text(objects.named("ConfigMap", "shop-cottontail"), "/data/config.toml");
    assert!(config.contains("[upstream]\nurl = \"http://127.0.0.1:3000\""), "{config}");
}

#[test]
fn an_application_with_volumes_and_init_containers_takes_it_in_parts() {
    let objects = Objects::parse(&application(&[]).expect("it renders"));
    let (whole, pod) = (pod(&objects, "one-include"), pod(&objects, "in-parts"));
    assert_eq!(at(pod, "/initContainers/0"), at(whole, "/initContainers/0"));
    assert_eq!(text(pod, "/initContainers/1/name"), "migrate");
    assert_eq!(list(pod, "/volumes")[..2], list(whole, "/volumes")[..]);
    assert_eq!(text(pod, "/volumes/2/name"), "uploads");
    assert_eq!(at(pod, "/terminationGracePeriodSeconds"), 43);
    let annotations = at(objects.named("Deployment", "in-parts"), "/spec/template/metadata/annotations");
    assert!(annotations.get("checksum/config").is_some(), "{annotations}");
}

#[test]
fn a_release_of_sidecar_mode_has_no_workload_of_its_own() {
    let objects = Objects::parse(&application(&[]).expect("it renders"));
    let mut names = objects.names();
    names.sort();
    let expected =
        ["ConfigMap/shop-cottontail", "Deployment/in-parts", "Deployment/one-include", "PodMonitor/shop-cottontail"];
    assert_eq!(names, expected);
    let monitor = objects.only("PodMonitor");
    assert_eq!(at(monitor, "/spec/selector/matchLabels"), &json!({ "app": "shop" }));
    assert_eq!(text(monitor, "/spec/podMetricsEndpoints/0/port"), "sse-admin");
    // A policy for the application's pods would close its own ports: only on request, and with what lets them open.
    let alone = Objects::render("sidecar", &["networkPolicy.sidecar=false"]);
    assert!(alone.find("NetworkPolicy").is_none(), "{:?}", alone.names());
    let guarded = Objects::render("sidecar", &[]);
    let rules = list(guarded.only("NetworkPolicy"), "/spec/ingress");
    let ports: Vec<_> = rules.iter().map(|rule| at(rule, "/ports/0/port")).collect();
    assert_eq!(ports, [8080, 9090, 3000], "Calico finds no name among a native sidecar's ports");
}

#[test]
fn the_include_says_what_is_missing() {
    for (set, reason) in [
        ("cottontail.mode=standalone", "mode: sidecar"),
        ("cottontail.image.repository=", "image.repository"),
        ("cottontail.sidecar.podLabels=null", "sidecar.podLabels"),
    ] {
        let said = application(&[set]).expect_err(set);
        assert!(said.contains(reason), "{set}: {said}");
    }
}

#[test]
fn kustomize_adds_the_sidecar_to_manifests_as_they_are() {
    let objects = Objects::parse(&overlay());
    let pod = pod(&objects, "legacy");
    let sidecar = at(pod, "/initContainers/0");
    is_a_native_sidecar(sidecar);
    assert_eq!(text(pod, "/initContainers/1/name"), "migrate");
    let uploads = list(pod, "/volumes").iter().find(|volume| volume["name"] == "uploads");
    assert!(uploads.is_some() && list(pod, "/containers").len() == 1, "{pod:#}");
    let config = text(pod, "/volumes/0/configMap/name");
    assert!(
        config.starts_with("cottontail-") && objects.find("ConfigMap").is_some(),
        "the name with its hash: {config}"
    );
    // Before Kubernetes 1.32 a Service does not find a name among a native sidecar's ports.
    let port = list(sidecar, "/ports").iter().find(|port| port["name"] == "sse-http").expect("it is named");
    assert_eq!(at(objects.only("Service"), "/spec/ports/0/targetPort"), at(port, "/containerPort"));
}

#[test]
fn kustomize_and_the_chart_have_the_same_container() {
    let (rendered, built) = (Objects::parse(&application(&[]).expect("it renders")), Objects::parse(&overlay()));
    let mut built = at(pod(&built, "legacy"), "/initContainers/0").clone();
    // Where the chart writes the listeners into config.toml, the component cannot.
    let environment = built.as_object_mut().expect("an object").remove("env").expect("the listeners");
    assert_eq!(environment[0], json!({ "name": "COTTONTAIL__SERVER__LISTEN", "value": "0.0.0.0:8080" }));
    assert_eq!(environment[1], json!({ "name": "COTTONTAIL__ADMIN__LISTEN", "value": "0.0.0.0:9090" }));
    assert_eq!(&built, at(pod(&rendered, "one-include"), "/initContainers/0"));
}

#[test]
fn both_pass_the_strict_schemas() {
    for yaml in [application(&[]).expect("it renders"), overlay()] {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("objects.yaml");
        fs::write(&file, &yaml).expect("it is writable");
        validate(&file).unwrap_or_else(|error| panic!("{error}"));
    }
}
