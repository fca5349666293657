//! Every `ci/*-values.yaml` against helm's lint and Kubernetes' schemas; that the schemas refuse what is wrong.

use std::fs;

use tempfile::TempDir;

use crate::chart::{Objects, ci, ci_values, copy, lint, path, template, template_of};
use crate::schemas::validate;

/// kubeconform's verdict on a file of objects.
fn verdict(yaml: &str) -> Result<String, String> {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("objects.yaml");
    fs::write(&file, yaml).expect("it is writable");
    validate(&file)
}

#[test]
fn every_values_file_passes_lint_and_strict_schemas() {
    assert!(ci_values().len() > 5, "{:?}", ci_values());
    for values in ci_values() {
        let name = values.display();
        lint(&values).unwrap_or_else(|error| panic!("{name}: {error}"));
        let yaml = template(&values, &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let objects = Objects::parse(&yaml).names();
        assert!(objects.len() > 2, "{name}: {objects:?}");
        let said = verdict(&yaml).unwrap_or_else(|error| panic!("{name}: {error}"));
        let count = format!("{} resources found", objects.len());
        assert!(said.contains(&count) && said.contains("Skipped: 0"), "{name}: {count}: {said}");
    }
}

#[test]
fn the_full_values_render_every_kind() {
    let objects = Objects::render("full", &[]);
    for kind in [
        "ConfigMap",
        "Deployment",
        "HTTPRoute",
        "HorizontalPodAutoscaler",
        "Ingress",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PrometheusRule",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
    ] {
        assert!(objects.find(kind).is_some(), "{kind}: {:?}", objects.names());
    }
}

#[test]
fn a_field_that_kubernetes_does_not_know_is_refused() {
    let yaml = template(&ci("full"), &[]).expect("it renders");
    for (right, wrong) in [
        ("enableServiceLinks: false", "enableServiceLink: false"),
        ("maxUnavailable: 0", "maxUnavailable: {}"),
        ("readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true"),
        ("averageValue: \"15000\"", "averageVal: \"15000\""),
        ("backendRefs:", "backendReferences:"),
        ("path: /metrics", "paths: /metrics"),
    ] {
        assert!(yaml.contains(right), "{right}");
        let said = verdict(&yaml.replace(right, wrong)).expect_err(wrong);
        assert!(said.contains("is invalid"), "{wrong}: {said}");
    }
}

#[test]
fn values_that_cannot_be_meant_are_refused() {
    for (set, reason) in [
        ("mode=both", "/mode"),
        ("replicas=3", "'replicas' not allowed"),
        ("image.repository=", "image.repository"),
        ("issuers[0].algorithms[0]=none", "/issuers/0/algorithms/0"),
        ("issuers[0].secretFrom.secret=x,issuers[0].secretFrom.key=y", "/issuers/0"),
        ("broker.existingSecret=x", "broker.urls and broker.existingSecret"),
        ("config.broker.urls[0]=amqp://x", "would end in a ConfigMap"),
        ("config.auth.issuer[0].secret=x", "would end in a ConfigMap"),
        ("config.server.listen=0.0.0.0:80", "use ports"),
        ("config.admin.listen=0.0.0.0:80", "use ports"),
        ("terminationGracePeriodSeconds=25", "not longer than server.grace"),
        ("httpRoute.enabled=true", "httpRoute.parentRefs"),
        ("podMonitor.enabled=true,serviceMonitor.enabled=true", "one of them"),
        ("prometheusRule.quietFor=soon", "/prometheusRule/quietFor"),
    ] {
        let said = template(&ci("minimal"), &[set]).expect_err(set);
        assert!(said.contains(reason), "{set}: {said}");
    }
}

#[test]
fn the_notes_say_how_to_reach_it_and_what_is_missing() {
    let folder = TempDir::new().expect("a temporary folder");
    copy(&path("helm/cottontail"), folder.path());
    let templates = folder.path().join("templates");
    // helm shows them at an install alone, for which it wants a cluster.
    fs::rename(templates.join("NOTES.txt"), folder.path().join("NOTES.txt")).expect("the notes are there");
    let as_an_object = "notes: |\n  {{- tpl (.Files.Get \"NOTES.txt\") . | nindent 2 }}\n";
    fs::write(templates.join("notes.yaml"), as_an_object).expect("it is writable");
    let notes = |values: &str| {
        let rendered = template_of(folder.path(), Some(&ci(values)), &[]).unwrap_or_else(|error| panic!("{error}"));
        let objects = Objects::parse(&rendered);
        objects.iter().find_map(|object| object["notes"].as_str()).expect("notes").to_owned()
    };
    for (values, said, not_said) in [
        ("minimal", "curl -iN -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8080/events", "looked for at 127"),
        ("minimal", "secrets came with the values", "history.kind"),
        (
            "existing-secrets",
            "curl -ikN -H \"Authorization: Bearer $TOKEN\" https://127.0.0.1:8080/events",
            "secrets came",
        ),
        ("existing-secrets", "config.server.trusted_proxies is empty", "An ingress must not"),
        ("full", "An ingress must not buffer, compress or cut", "trusted_proxies is empty"),
        ("sidecar", "targetPort: 8080", "port-forward"),
    ] {
        let notes = notes(values);
        assert!(notes.contains(said) && !notes.contains(not_said), "{values}: {said}: {notes}");
    }
}
