//! The chart's README held against the chart: its table of values is generated from values.yaml, its examples render.

use std::fs;

use serde_json::Value;

use crate::chart::{at, path, read};

const README: &str = "helm/cottontail/README.md";
const BEGIN: &str = "<!-- values: written by `COTTONTAIL_WRITE=1 cargo test --test helm`; edit values.yaml -->\n";
const END: &str = "<!-- end of values -->\n";

/// A key with its default and what its comment says.
#[derive(Debug)]
struct Row {
    key: String,
    default: String,
    comment: String,
}

/// The keys of values.yaml in its order: each that has a comment, and none below one whose default is a list or an object
/// without comments inside.
fn rows(values: &str) -> Vec<Row> {
    let parsed: Value = yaml_serde::from_str(values).expect("values.yaml is YAML");
    let (mut rows, mut comment, mut parents) = (Vec::new(), Vec::<&str>::new(), Vec::<(usize, String)>::new());
    for line in values.lines() {
        let (indent, content) = (line.len() - line.trim_start().len(), line.trim_start());
        if let Some(text) = content.strip_prefix('#') {
            comment.push(text.trim());
            continue;
        }
        let key = content.split_once(':').map(|(key, _)| key).filter(|_| !content.starts_with('-'));
        if let Some(key) = key {
            parents.retain(|(depth, _)| *depth < indent);
            parents.push((indent, key.to_owned()));
            if !comment.is_empty() {
                let keys: Vec<_> = parents.iter().map(|(_, key)| key.as_str()).collect();
                let default = at(&parsed, &format!("/{}", keys.join("/"))).to_string();
                rows.push(Row { key: keys.join("."), default, comment: comment.join(" ") });
            }
        }
        comment.clear();
    }
    rows
}

fn table() -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let row = |Row { key, default, comment }: Row| format!("| `{key}` | `{}` | {} |\n", cell(&default), cell(&comment));
    let rows = rows(&read("helm/cottontail/values.yaml")).into_iter().map(row);
    ["| key | default | |\n|---|---|---|\n".to_owned()].into_iter().chain(rows).collect()
}

#[test]
fn the_table_of_values_is_up_to_date() {
    let readme = read(README);
    let (before, rest) = readme.split_once(BEGIN).expect("the table's begin");
    let (written, after) = rest.split_once(END).expect("the table's end");
    let table = table();
    if std::env::var_os("COTTONTAIL_WRITE").is_some() {
        fs::write(path(README), [before, BEGIN, &table, END, after].concat()).expect("README is writable");
    } else {
        assert_eq!(written, table, "run COTTONTAIL_WRITE=1 cargo test --test helm");
    }
}

#[test]
fn every_value_is_in_the_table_and_in_the_schema() {
    let values = read("helm/cottontail/values.yaml");
    let parsed: Value = yaml_serde::from_str(&values).expect("YAML");
    let schema: Value = serde_json::from_str(&read("helm/cottontail/values.schema.json")).expect("JSON");
    let rows = rows(&values);
    let mut waiting = vec![(String::new(), &parsed, at(&schema, ""))];
    while let Some((prefix, value, schema)) = waiting.pop() {
        for (key, value) in value.as_object().expect("a table") {
            let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            let schema = at(schema, &format!("/properties/{key}"));
            let described = rows.iter().any(|row| row.key == name);
            if !described {
                assert!(value.is_object(), "{name} has no comment");
                waiting.push((name, value, schema));
            }
        }
    }
    assert!(rows.len() > 60, "{}", rows.len());
}

#[test]
fn the_manifests_of_the_chart_s_readme_are_yaml() {
    let readme = read(README);
    let blocks: Vec<_> = readme.split("\n```").filter_map(|part| part.strip_prefix("yaml\n")).collect();
    assert!(blocks.len() > 6, "{}", blocks.len());
    for block in blocks.iter().filter(|block| !block.contains("{{")) {
        let documents: Result<Vec<Value>, _> =
            yaml_serde::Deserializer::from_str(block).map(serde::Deserialize::deserialize).collect();
        assert!(documents.is_ok(), "{documents:?}\n{block}");
    }
}
