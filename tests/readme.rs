//! README held against the program: its metrics, limits, codes, configurations and links; that its sentences are true, no test can say.
#![allow(clippy::panic, reason = "test code")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cottontail::app::Plan;
use cottontail::config::Sources;
use cottontail::routing::Reason;
use cottontail::telemetry::process_metrics;

/// What a block of settings in README needs around it to be a whole configuration.
const ISSUER: &str = "[[auth.issuer]]\nalgorithms = [\"HS256\"]\nsecret = \"only-for-this-test-0123456789abcdef\"\n";
const MAPPING: &str = "[[mapping]]\nrouting_key = \"#\"\neveryone = true\n";

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The cells of the rows of the first table after `heading`, without its head.
fn table(heading: &str) -> Vec<Vec<String>> {
    let readme = read("README.md");
    let (_, section) = readme.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let rows = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.skip(2).map(cells).collect()
}

/// The pieces of `text` between backticks.
fn code(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let readme = read("README.md");
    let fenced =
        readme.split("\n```").filter_map(|part| part.strip_prefix(&format!("{language}\n")).map(str::to_owned));
    fenced.collect()
}

/// The text of all files in a folder of `src` and in those below it.
fn sources(folder: &str) -> String {
    let files = fs::read_dir(root().join("src").join(folder)).expect("a folder of the sources");
    let text = |path: PathBuf| {
        if path.is_dir() {
            sources(path.to_str().expect("a plain name"))
        } else {
            fs::read_to_string(path).expect("text")
        }
    };
    files.map(|file| text(file.expect("listed").path())).collect()
}

/// The pieces of `text` that stand between `before` and the next quotation mark.
fn quoted_after<'t>(text: &'t str, before: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
}

/// Type and labels of each metric by its name, as the functions that count it have them.
fn metrics_in_sources() -> BTreeMap<String, (&'static str, BTreeSet<String>)> {
    let text = sources("telemetry");
    let mut metrics: BTreeMap<String, (&'static str, BTreeSet<String>)> = BTreeMap::new();
    for kind in ["counter", "gauge", "histogram"] {
        for call in text.split(&format!("{kind}!(")).skip(1) {
            let call = call.split_once(')').map_or(call, |(arguments, _)| arguments);
            let Some(name) = quoted_after(call, "\"").next() else { continue };
            let (_, labels) = metrics.entry(name.to_owned()).or_insert((kind, BTreeSet::new()));
            labels.extend(call.rsplit_once("=>").and_then(|(before, _)| before.rsplit('"').nth(1)).map(str::to_owned));
        }
    }
    // Those of the process are written as text.
    for line in process_metrics().lines() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) else { continue };
        let kind = ["counter", "gauge"].into_iter().find(|known| *known == kind).expect("a type that README has");
        metrics.insert(name.to_owned(), (kind, BTreeSet::new()));
    }
    metrics
}

#[test]
fn every_metric_is_in_the_table_with_its_type_unit_and_labels() {
    let metrics = metrics_in_sources();
    assert!(metrics.len() > 10, "{metrics:?}");
    let written: BTreeMap<_, _> = table("### Metrics")
        .into_iter()
        .map(|row| {
            let [name, kind, unit, labels, _] = &row[..] else { panic!("{row:?}") };
            let name = code(name).remove(0);
            let suffix = format!("_{unit}");
            assert!(kind != "histogram" || name.ends_with(&suffix), "{name} is not in {unit}");
            (name, (kind.clone(), code(labels).into_iter().collect()))
        })
        .collect();
    let expected: BTreeMap<_, (String, BTreeSet<String>)> =
        metrics.into_iter().map(|(name, (kind, labels))| (name, (kind.to_owned(), labels))).collect();
    assert_eq!(written, expected);
}

#[test]
fn the_limits_have_the_defaults_of_the_configuration() {
    let defaults: toml::Table = read("config.toml").parse().expect("config.toml is TOML");
    for row in table("### Limits") {
        let (key, default) = (code(&row[0]).remove(0), code(&row[1]).remove(0));
        let defaults = toml::Value::Table(defaults.clone());
        let value = key.split('.').fold(&defaults, |value, name| &value[name]);
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(default, value, "{key}");
    }
}

#[test]
fn every_reason_and_code_is_explained() {
    let readme = code(&read("README.md"));
    let explained = |word: &str| readme.iter().any(|code| code == word);
    for reason in Reason::ALL {
        assert!(explained(reason.as_str()), "{}", reason.as_str());
    }
    for (folder, before) in [
        ("broker", "unmapped(\""),
        ("broker", "RECONNECTED: &str = \""),
        ("broker", "CONNECTED: &str = \""),
        ("broker", "QUEUE_FULL: &str = \""),
        ("broker", "TOO_OLD: &str = \""),
        ("broker", "UNREADABLE: &str = \""),
        ("broker", "TOO_LARGE: &str = \""),
        ("broker", "DUPLICATE: &str = \""),
        ("hub", "HISTORY_CHANGED: &str = \""),
        ("hub", "gap: Some((\""),
    ] {
        let found: Vec<_> =
            sources(folder).split(before).skip(1).map(|rest| rest.split('"').next().map(str::to_owned)).collect();
        assert!(!found.is_empty(), "{before}");
        for reason in found.into_iter().flatten() {
            assert!(explained(&reason), "{reason}");
        }
    }
    for error_type in quoted_after(&sources("telemetry"), "\"error_type\" => \"") {
        assert!(explained(error_type), "{error_type}");
    }
    let (problems, tokens) = (read("src/server/problem.rs"), read("src/auth/error.rs"));
    let problems = problems.split("Self::new(").skip(1).filter_map(|call| quoted_after(call, "\"").next());
    for problem in problems {
        assert!(explained(problem), "{problem}");
    }
    let (_, reasons) = tokens.split_once("fn reason(").expect("a function");
    let (reasons, _) = reasons.split_once("\n    }\n").expect("its end");
    for reason in quoted_after(reasons, "=> \"") {
        let code = if ["token", "api_key", "keys", "session"].iter().any(|subject| reason.starts_with(subject)) {
            reason.to_owned()
        } else {
            format!("token_{reason}")
        };
        assert!(explained(&code), "{code}");
    }
}

#[test]
fn every_setting_that_is_named_exists() {
    let config = read("config.toml");
    let sections: BTreeSet<&str> =
        config.lines().filter_map(|line| line.trim_start_matches(['#', '[']).split(']').next()).collect();
    let mut named = 0;
    for code in code(&read("README.md").replace("```", "")) {
        let Some((section, key)) = code.split_once('.') else { continue };
        let is_key = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if !is_key || !sections.contains(section) || !config.contains(&format!("\n[{section}]\n")) {
            continue;
        }
        let (_, from) = config.split_once(&format!("\n[{section}]\n")).expect("it was found just now");
        let keys = from.lines().take_while(|line| !line.starts_with('['));
        let exists = keys.map(|line| line.trim_start_matches('#')).any(|line| line.starts_with(&format!("{key} = ")));
        assert!(exists, "`{code}` is no setting");
        named += 1;
    }
    assert!(named > 20, "only {named} settings were found in README");
    assert!(read("README.md").contains("(config.toml)"));
}

#[test]
fn every_configuration_is_sound_but_for_the_files_it_names() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("config.toml");
    let blocks = blocks("toml");
    assert!(blocks.len() >= 4, "{blocks:?}");
    for mut text in blocks {
        for (table, whole) in [("[[auth.issuer]]", ISSUER), ("[[mapping]]", MAPPING)] {
            if !text.contains(table) {
                text = format!("{text}\n{whole}");
            }
        }
        fs::write(&file, &text).expect("own directory");
        let plan = Plan::load(&Sources { file: Some(file.clone()), ..Sources::default() });
        let faults = plan.err().unwrap_or_default();
        let real: Vec<_> = faults.iter().filter(|fault| !fault.key.ends_with("_file")).collect();
        assert!(real.is_empty(), "{real:?} in\n{text}");
    }
}

#[test]
fn every_link_inside_the_repository_leads_somewhere() {
    let readme = read("README.md");
    let headings: BTreeSet<String> = readme
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-"))
        .collect();
    let targets = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    for target in targets.filter(|target| !target.starts_with("http")) {
        match target.strip_prefix('#') {
            Some(heading) => assert!(headings.contains(heading), "{target}"),
            None => assert!(root().join(target).exists(), "{target}"),
        }
    }
}
