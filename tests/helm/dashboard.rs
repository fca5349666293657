//! The dashboard: its queries are valid and over metrics that there are, and it shows all of them.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::alerts::{metrics, metrics_of};
use crate::chart::{Objects, list, run, text};

fn dashboard() -> Value {
    let objects = Objects::render("full", &[]);
    let map = objects.named("ConfigMap", "events-dashboard");
    assert_eq!(text(map, "/metadata/labels/grafana_dashboard"), "1");
    serde_json::from_str(text(map, "/data/cottontail.json")).expect("a dashboard is JSON")
}

/// Title and query of each target, with Grafana's variables filled in.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let panels = list(dashboard, "/panels").iter().filter(|panel| panel["type"] != "row");
    let queries = panels.flat_map(|panel| {
        let title = text(panel, "/title");
        list(panel, "/targets").iter().map(move |target| (title.to_owned(), text(target, "/expr").to_owned()))
    });
    let filled =
        |query: String| query.replace("$__rate_interval", "5m").replace("$namespace", "web").replace("$pod", ".*");
    queries.map(|(title, query)| (title, filled(query))).collect()
}

#[test]
fn prometheus_can_read_every_query() {
    let queries = queries(&dashboard());
    assert!(queries.len() > 15, "{queries:?}");
    let record =
        |(number, (_, query)): (usize, &(String, String))| json!({ "record": format!("q{number}"), "expr": query });
    let rules: Vec<_> = queries.iter().enumerate().map(record).collect();
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("rules.yaml");
    fs::write(&file, json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string())
        .expect("it is writable");
    run("promtool", ["check", "rules", file.to_str().expect("a plain name")]).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn it_shows_the_metrics_of_the_readme_and_no_others() {
    let shown: BTreeSet<_> = queries(&dashboard()).iter().flat_map(|(_, query)| metrics_of(query)).collect();
    let known = metrics();
    let unknown: Vec<_> = shown.difference(&known).collect();
    assert!(unknown.is_empty(), "README has no {unknown:?}");
    let missing: Vec<_> = known.difference(&shown).collect();
    assert!(missing.is_empty(), "not in helm/cottontail/files/dashboard.json: {missing:?}");
}

#[test]
fn panels_have_numbers_of_their_own_and_do_not_overlap() {
    let dashboard = dashboard();
    let panels = list(&dashboard, "/panels");
    let mut numbers = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in panels {
        assert!(numbers.insert(panel["id"].as_u64().expect("a number")), "{panel:#}");
        let side = |name: &str| panel["gridPos"][name].as_u64().expect("a number");
        for x in side("x")..side("x") + side("w") {
            for y in side("y")..side("y") + side("h") {
                assert!(x < 24 && cells.insert((x, y)), "{}: at {x}, {y}", panel["title"]);
            }
        }
    }
}
