//! `/metrics` as others read it: Prometheus's own parsers agree with README's table, and no label says who was there.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::scenario::Scenario;
use crate::support::http1::Request;
use crate::support::secrecy::{assert_keeps_secrets, marker};
use crate::support::website::{Reply, Website};

/// One sample as the other parser has it.
#[derive(Debug, Deserialize)]
struct Sample {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    help: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Type and labels of a metric.
type Row = (String, Vec<String>);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The output of a program that is given `text`, which it must take.
fn told(command: &mut Command, text: &str) -> Vec<u8> {
    let program = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [&output.stdout[..], &output.stderr].concat();
    assert!(output.status.success(), "{program}: {}\n{text}", String::from_utf8_lossy(&said));
    output.stdout
}

fn parsed(text: &str) -> Vec<Sample> {
    let script = root().join("tests/end_to_end/exposition.py");
    serde_json::from_slice(&told(Command::new("/usr/bin/python3").arg(script), text)).unwrap()
}

/// The rows of README's table of metrics by name.
fn table() -> BTreeMap<String, Row> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n### Metrics\n").unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let code = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        (code(cells[0]).remove(0), (cells[1].to_owned(), code(cells[3])))
    };
    rows.skip(2).map(row).collect()
}

/// The metric of a sample, which for a histogram is of several series.
fn metric(sample: &Sample) -> &str {
    let series = ["_bucket", "_sum", "_count"].iter().find_map(|end| sample.name.strip_suffix(end));
    series.filter(|_| sample.kind == "histogram").unwrap_or(&sample.name)
}

/// Something of everything: events, a bad message, a stream that resumes, a refusal, a request for the application.
async fn busy() -> (Scenario, String) {
    let website = Website::start(|_| Reply::new(200).body("of the application")).await;
    // At debug the log has the paths of requests.
    let changes = format!("[log]\nlevel = \"info\"\n[upstream]\nurl = \"{}\"", website.url(""));
    let scenario = Scenario::start_with(&changes).await;
    let user = marker("user");
    let token = scenario.issuer.token(&user);
    let mut stream = scenario.subscribe_at(&format!("/events?token={token}"), &token).await;
    let start = stream.last_event_id().to_owned();
    scenario.app.publish(&format!("user.{user}.hello"), marker("body")).await;
    stream.message().await;
    scenario.app.publish("order.1.updated", "no JSON").await;
    scenario.subscribe_at(&format!("/events?lastEventId={start}"), &token).await.message().await;
    scenario.subscribe_at("/events?lastEventId=dead-1", &token).await.message().await;
    assert_eq!(scenario.server.fetch(&Request::get("/events")).await.status(), 401);
    let proxied = format!("/{}?token={token}", marker("path"));
    assert_eq!(scenario.server.fetch(&Request::get(proxied)).await.status(), 200);
    drop(stream);
    let all =
        ["sse_connection_duration_seconds", "sse_delivery_latency_seconds", "proxy_requests_total", "sse_gaps_total"];
    let metrics = scenario.server.metrics_until("everything to be counted", |metrics| {
        all.iter().all(|name| metrics.has(name)) && metrics.has("amqp_unmapped_total")
    });
    let text = metrics.await.0;
    (scenario, text)
}

#[tokio::test]
async fn prometheus_reads_the_metrics_and_finds_those_of_the_readme() {
    let (_scenario, text) = busy().await;
    told(Command::new("promtool").args(["check", "metrics"]), &text);
    let (samples, table) = (parsed(&text), table());
    assert!(samples.len() > 50, "{samples:?}");
    for sample in &samples {
        let (kind, labels) = table.get(metric(sample)).unwrap_or_else(|| panic!("README has no {}", sample.name));
        assert_eq!(&sample.kind, kind, "{}", sample.name);
        let named: Vec<_> = sample.labels.keys().filter(|label| *label != "le").collect();
        assert_eq!(named, labels.iter().collect::<Vec<_>>(), "{}", sample.name);
        assert!(sample.help.len() > 8, "{} says nothing of itself", sample.name);
        assert!(sample.value >= 0.0, "{sample:?}");
    }
    for family in ["sse_", "amqp_", "auth_", "proxy_", "process_"] {
        assert!(samples.iter().any(|sample| sample.name.starts_with(family)), "nothing of {family}");
    }
}

#[tokio::test]
async fn no_label_says_who_was_there_and_each_is_a_short_word() {
    let (_scenario, text) = busy().await;
    let values = parsed(&text).into_iter().flat_map(|sample| sample.labels);
    let values: Vec<_> = values.filter(|(label, _)| label != "le").map(|(_, value)| value).collect();
    assert!(values.len() > 5, "{values:?}");
    for value in &values {
        assert_keeps_secrets("a label", value);
        let is_word = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:+-".contains(&byte));
        assert!(is_word && (1..=64).contains(&value.len()), "{value}");
    }
}

#[tokio::test]
async fn what_is_measured_lies_between_the_first_and_the_last_bucket() {
    let (_scenario, text) = busy().await;
    let samples = parsed(&text);
    let mut buckets: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.name.ends_with("_bucket")) {
        let bound = sample.labels["le"].replace("+Inf", "inf").parse().unwrap();
        buckets.entry(metric(sample)).or_default().push((bound, sample.value));
    }
    let histograms = table().into_iter().filter(|(_, (kind, _))| kind == "histogram").map(|(name, _)| name);
    assert_eq!(buckets.keys().copied().collect::<Vec<_>>(), histograms.collect::<Vec<_>>());
    for (name, mut buckets) in buckets {
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert!(
            (8..=16).contains(&buckets.len()),
            "{name}: enough to tell a quantile, few enough to store: {buckets:?}"
        );
        let [.., (last, within), (infinity, all)] = buckets[..] else { panic!("{buckets:?}") };
        assert!(infinity.is_infinite() && all >= 1.0, "{name}: {buckets:?}");
        assert!((within - all).abs() < f64::EPSILON, "{name}: something usual took more than {last}");
        // A quantile is read between two bounds; a step of more than five says little.
        let steps = buckets.windows(2).filter(|pair| pair[1].0.is_finite());
        assert!(steps.clone().all(|pair| pair[1].0 / pair[0].0 <= 5.0), "{name}: {buckets:?}");
    }
}
