//! A native `EventSource` in a real Chromium, fed through a real RabbitMQ.

use serde_json::{Value, json};

use crate::scenario::Scenario;
use crate::support::browser::Browser;

/// Opens `new EventSource(path)` and keeps what it dispatches in `window.seen[name]`.
const OPEN: &str = "
    const [name, path] = arguments[0];
    const seen = ((window.seen ??= {})[name] = []);
    const source = ((window.sources ??= {})[name] = new EventSource(path));
    source.onopen = () => seen.push({ type: 'open' });
    source.onerror = () => seen.push({ type: 'error', state: source.readyState });
    for (const type of ['connected', 'gap', 'hello', 'message'])
        source.addEventListener(type, e => seen.push({ type, data: e.data, id: e.lastEventId }));
";

/// A browser on a page of the program's own origin; which page, does not matter.
async fn browser_at(scenario: &Scenario) -> Browser {
    let browser = Browser::start().await;
    browser.open(&scenario.server.url("/nowhere")).await;
    browser
}

async fn open(browser: &Browser, name: &str, token: &str) {
    browser.run(OPEN, json!([name, format!("/events?token={token}")])).await;
    seen_until(browser, name, |seen| count(seen, "connected") == 1).await;
}

/// Waits until what `name` has seen pleases `condition`.
async fn seen_until(browser: &Browser, name: &str, condition: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let script = format!("return window.seen['{name}']");
    let pleased = |seen: &Value| seen.as_array().is_some_and(|seen| condition(seen));
    let mut seen = browser.run_until(&format!("{name}'s EventSource to see it"), &script, pleased).await;
    seen.as_array_mut().map(std::mem::take).expect("a list")
}

fn count(seen: &[Value], kind: &str) -> usize {
    seen.iter().filter(|event| event["type"] == kind).count()
}

fn texts(seen: &[Value]) -> Vec<&str> {
    seen.iter().filter(|event| event["type"] == "hello").filter_map(|event| event["data"].as_str()).collect()
}

#[tokio::test]
async fn a_native_event_source_sees_the_events_of_its_own_user_only() {
    let scenario = Scenario::start().await;
    let browser = browser_at(&scenario).await;
    open(&browser, "ada", &scenario.issuer.token("ada")).await;
    open(&browser, "bob", &scenario.issuer.token("bob")).await;

    scenario.app.publish_from_the_shell("user.ada.hello", "h\u{e9}llo\nada");
    scenario.app.publish_from_the_shell("user.bob.hello", "bob");
    // Both have one more event to come after the other's, so that a stray one would be seen.
    scenario.app.publish("user.ada.hello", "end").await;
    scenario.app.publish("user.bob.hello", "end").await;
    for (user, expected) in [("ada", ["h\u{e9}llo\nada", "end"]), ("bob", ["bob", "end"])] {
        let seen = seen_until(&browser, user, |seen| texts(seen).contains(&"end")).await;
        assert_eq!(texts(&seen), expected, "{user}");
        assert_eq!(count(&seen, "error"), 0, "{seen:?}");
        assert_eq!(count(&seen, "message"), 0, "no event without a name is dispatched: {seen:?}");
        assert!(seen.iter().filter(|event| event["type"] == "hello").all(|event| event["id"] != ""), "{seen:?}");
    }
}

#[tokio::test]
async fn a_native_event_source_comes_back_by_itself_after_a_restart() {
    let mut scenario = Scenario::start_with("[server]\ndrain_window = \"200ms\"").await;
    let browser = browser_at(&scenario).await;
    open(&browser, "ada", &scenario.issuer.token("ada")).await;
    scenario.app.publish("user.ada.hello", "before").await;
    seen_until(&browser, "ada", |seen| count(seen, "hello") == 1).await;

    scenario.restart().await;
    seen_until(&browser, "ada", |seen| count(seen, "connected") == 2).await;
    scenario.app.publish("user.ada.hello", "after").await;
    let seen = seen_until(&browser, "ada", |seen| count(seen, "hello") == 2).await;
    assert_eq!(texts(&seen), ["before", "after"]);
    // Another gap follows where the browser was back before the new process had its queue.
    let unknown = |event: &&Value| event["type"] == "gap" && event["data"].as_str().unwrap().contains("unknown_id");
    let gaps = seen.iter().filter(unknown).count();
    assert_eq!(gaps, 1, "the new process does not claim to know what the old one had: {seen:?}");
    let errors = seen.iter().filter(|event| event["type"] == "error");
    assert!(errors.clone().count() > 0);
    assert!(errors.into_iter().all(|event| event["state"] == 0), "CONNECTING, never CLOSED: {seen:?}");
}

#[tokio::test]
async fn a_native_event_source_resumes_after_its_connection_was_cut() {
    let scenario = Scenario::start_with("[stream]\nmax_connection_age = \"1s\"").await;
    let browser = browser_at(&scenario).await;
    open(&browser, "ada", &scenario.issuer.token("ada")).await;
    let mut published = Vec::new();
    loop {
        published.push(published.len().to_string());
        scenario.app.publish("user.ada.hello", published.last().unwrap()).await;
        let seen = seen_until(&browser, "ada", |seen| count(seen, "hello") > 0).await;
        if count(&seen, "connected") >= 3 {
            break;
        }
    }
    let seen =
        seen_until(&browser, "ada", |seen| texts(seen).last() == published.last().map(String::as_str).as_ref()).await;
    assert_eq!(texts(&seen), published, "each once and in order, over every reconnection");
    assert_eq!(count(&seen, "gap"), 0, "{seen:?}");
}
