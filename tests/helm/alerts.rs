//! The alerts: tested by promtool as the chart renders them, with expressions over metrics that there are.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chart::{Objects, at, list, path, read, run, text};

/// Metrics of others: Prometheus' own, and kube-state-metrics'.
const FOREIGN: [&str; 3] =
    ["up", "kube_pod_container_status_restarts_total", "kube_pod_init_container_status_restarts_total"];
/// How the names of ours begin, and of some others.
const FAMILIES: [&str; 9] = ["sse_", "amqp_", "auth_", "control_", "proxy_", "tls_", "config_", "process_", "kube_"];

/// The rule groups as the chart renders them.
fn groups(set: &[&str]) -> Value {
    let set = [&["prometheusRule.enabled=true"], set].concat();
    at(Objects::render("minimal", &set).only("PrometheusRule"), "/spec").clone()
}

fn rules(groups: &Value) -> Vec<Value> {
    list(groups, "/groups/0/rules").clone()
}

/// The names in README's table of metrics.
pub fn metrics() -> BTreeSet<String> {
    let readme = read("README.md");
    let (_, section) = readme.split_once("\n### Metrics\n").expect("README has it");
    let (_, table) = section.split_once("|---|").expect("a table");
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.filter_map(|row| row.split('`').nth(1)).map(str::to_owned).collect()
}

/// The metrics in an expression of Prometheus, histograms without their suffix.
pub fn metrics_of(expression: &str) -> BTreeSet<String> {
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let outside: String = expression.split('"').step_by(2).collect();
    let names = outside
        .split(|letter| !word(letter))
        .filter(|name| FOREIGN.contains(name) || FAMILIES.iter().any(|family| name.starts_with(family)));
    let base = |name: &str| {
        let base = name.strip_suffix("_bucket").or_else(|| name.strip_suffix("_sum"));
        base.or_else(|| name.strip_suffix("_seconds_count").map(|_| &name[..name.len() - 6])).unwrap_or(name).to_owned()
    };
    names.map(base).collect()
}

#[test]
fn promtool_finds_every_alert_as_it_should_be() {
    let folder = TempDir::new().expect("a temporary folder");
    let rules = folder.path().join("rules.yaml");
    let mut groups = groups(&[]);
    // promtool compares annotations as a whole; the summaries have something in them that varies, the runbooks are read here.
    for rule in groups["groups"][0]["rules"].as_array_mut().expect("rules") {
        rule["annotations"].as_object_mut().expect("annotations").remove("runbook");
    }
    fs::write(&rules, groups.to_string()).expect("it is writable");
    let rules = rules.to_str().expect("a plain name");
    run("promtool", ["check", "rules", rules]).unwrap_or_else(|error| panic!("{error}"));
    let tests = folder.path().join("tests.yaml");
    fs::copy(path("tests/helm/alerts.promtool.yaml"), &tests).expect("it is writable");
    run("promtool", ["test", "rules", tests.to_str().expect("a plain name")]).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn every_alert_is_tested_to_fire_and_to_be_silent() {
    let tests: Value = yaml_serde::from_str(&read("tests/helm/alerts.promtool.yaml")).expect("YAML");
    let cases = list(&tests, "/tests").iter().flat_map(|test| list(test, "/alert_rule_test"));
    let (fires, silent): (Vec<_>, Vec<_>) =
        cases.partition(|case| case["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty()));
    for rule in rules(&groups(&[])) {
        let name = text(&rule, "/alert");
        let among = |cases: &[&Value]| cases.iter().any(|case| text(case, "/alertname") == name);
        assert!(among(&fires), "{name} is never seen to fire");
        assert!(among(&silent), "{name} is never seen to be silent");
    }
}

#[test]
fn alerts_and_runbooks_name_metrics_that_there_are() {
    let (rules, known) = (rules(&groups(&[])), metrics());
    assert!(rules.len() > 10 && known.len() > 10, "{known:?}");
    assert!(known.iter().all(|name| FAMILIES.iter().any(|family| name.starts_with(family))), "{known:?}");
    let is_known = |name: &String| known.contains(name) || FOREIGN.contains(&name.as_str());
    for rule in &rules {
        let name = text(rule, "/alert");
        let expression = text(rule, "/expr");
        let used = metrics_of(expression);
        assert!(!used.is_empty(), "{name}");
        for metric in &used {
            assert!(is_known(metric), "{name}: README has no {metric}");
        }
        let runbook = text(rule, "/annotations/runbook");
        assert!(runbook.ends_with('.') && runbook.len() > 80, "{name}: {runbook}");
        for metric in runbook.split('`').skip(1).step_by(2).flat_map(metrics_of) {
            assert!(is_known(&metric), "{name}: README has no {metric}");
        }
        assert!(["warning", "critical"].contains(&text(rule, "/labels/severity")), "{name}");
    }
}

#[test]
fn readme_has_every_alert_with_what_to_do() {
    let readme = read("README.md");
    for rule in rules(&groups(&[])) {
        let row = format!("| `{}` |", text(&rule, "/alert"));
        assert!(readme.contains(&row), "{row}");
    }
}

#[test]
fn thresholds_selectors_and_silences_come_from_the_values() {
    let set = [
        "prometheusRule.selector=job=\"sse\"",
        "prometheusRule.quietFor=2h",
        "prometheusRule.streamLimitRatio=0.5",
        "prometheusRule.disabled={CottontailGaps}",
        "config.stream.max_streams=5000",
    ];
    let rules = rules(&groups(&set));
    let find = |name: &str| rules.iter().find(|rule| rule["alert"] == name);
    assert_eq!(find("CottontailGaps"), None);
    let expression = |name: &str| find(name).map(|rule| text(rule, "/expr").to_owned()).expect(name);
    assert_eq!(expression("CottontailNearStreamLimit"), "sse_active_connections{job=\"sse\"} > 0.5 * 5000");
    assert!(expression("CottontailEventsNotFlowing").contains("amqp_deliveries_total{job=\"sse\"}[2h]"));
    let capitals = |text: &str| {
        text.split(|c: char| !(c.is_ascii_uppercase() || c == '_')).any(|word| word.contains('_') && word.len() > 1)
    };
    assert!(!rules.iter().any(|rule| capitals(text(rule, "/expr"))), "a word in capitals is left: {:#}", json!(rules));
}
