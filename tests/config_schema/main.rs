//! The schema of the configuration against another implementation of JSON schema: what it lets through and what it does not.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// For each settings file the paths of what the committed schema refuses in it.
fn complaints(files: &[String]) -> Vec<Vec<String>> {
    let schema: Value = serde_json::from_str(&fs::read_to_string(root().join("config.schema.json")).unwrap()).unwrap();
    let documents: Vec<toml::Table> = files.iter().map(|text| text.parse().unwrap()).collect();
    let request = json!({ "schema": schema, "documents": documents });
    let mut python = Command::new("/usr/bin/python3")
        .arg(root().join("tests/config_schema/validate.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs /usr/bin/python3");
    python.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "is python3-jsonschema installed?");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn shipped() -> String {
    fs::read_to_string(root().join("config.toml")).unwrap()
}

#[test]
fn the_shipped_file_its_examples_and_those_of_the_readme_are_let_through() {
    let is_example = |line: &&str| line.strip_prefix('#').is_some_and(|rest| !rest.starts_with([' ', '\n']));
    let all =
        shipped().lines().map(|line| if is_example(&line) { &line[1..] } else { line }).collect::<Vec<_>>().join("\n");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = readme.split("\n```").filter_map(|part| part.strip_prefix("toml\n").map(str::to_owned));
    let files: Vec<String> = [shipped(), all].into_iter().chain(blocks).collect();
    assert!(files.len() > 6, "README has examples");
    for (file, found) in files.iter().zip(complaints(&files)) {
        assert_eq!(found, [""; 0], "in\n{file}");
    }
}

#[test]
fn what_the_program_accepts_in_several_forms_the_schema_does_too() {
    let file = "[history]\nmemory = 1024\nmax_bytes = \"1.5 GiB\"\n[stream]\nheartbeat = \"1m 30s\"\n[server]\n\
                listen = \"[::]:8080\"\n[[mapping]]\nuser = \"x\"\nchannel = [\"a\", \"b\"]\n";
    assert_eq!(complaints(&[file.to_owned()]), [[""; 0]]);
}

#[test]
fn unknown_keys_and_ill_typed_values_are_refused_each_at_its_place() {
    let files = [
        ("exchnage = \"x\"", ""),
        ("[broker]\nexchnage = \"x\"", "broker"),
        ("[broker]\nprefetch = 65536", "broker.prefetch"),
        ("[broker]\nurls = \"amqp://x\"", "broker.urls"),
        ("[broker]\nurls = [1]", "broker.urls.0"),
        ("[server]\nthreads = -1", "server.threads"),
        ("[server]\nthreads = \"many\"", "server.threads"),
        ("[server]\nlisten = \"here\"", "server.listen"),
        ("[server]\ngrace = \"soon\"", "server.grace"),
        ("[server]\ngrace = 5", "server.grace"),
        ("[history]\nkind = \"disk\"", "history.kind"),
        ("[history]\nmemory = \"a lot\"", "history.memory"),
        ("[[auth.issuer]]\nsecret = 1", "auth.issuer.0.secret"),
        ("[[mapping]]\n[[mapping]]\ncontineu = true", "mapping.1"),
        ("[mapping]\nuser = \"x\"", "mapping"),
        ("[auth]\nanonymous = \"yes\"", "auth.anonymous"),
    ];
    let found = complaints(&files.map(|(text, _)| text.to_owned()));
    for ((text, place), found) in files.iter().zip(found) {
        assert_eq!(found, [*place], "{text}");
    }
}
