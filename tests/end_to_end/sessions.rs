//! Sessions of an application without tokens of its own: whose they are is asked of the application itself.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::scenario::Scenario;
use crate::support::deadline::{eventually, within};
use crate::support::eventsource_decoder::Observed;
use crate::support::http1::{Request, Response};
use crate::support::metrics::Metrics;
use crate::support::secrecy::{assert_keeps_secrets, marker};
use crate::support::sse::EventStream;
use crate::support::tokens::Issuer;
use crate::support::website::{Asked, Reply, Website};

/// An application whose users log in with a cookie `sid`, and the program that asks it; `settings` are of `[auth.forward]`.
/// Where they say nothing of it, no machine is too slow for an answer in time.
async fn start(settings: &str, script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> (Website, Scenario) {
    let app = Website::start(script).await;
    let patience = if settings.contains("timeout") { "" } else { "timeout = \"20s\"\n" };
    let changes = format!("[auth.forward]\nurl = \"{}\"\n{patience}{settings}", app.url("/session?for=events"));
    let scenario = Scenario::start_with(&changes).await;
    (app, scenario)
}

/// Ada is everybody whose session has her name in it.
fn by_header(asked: &Asked) -> Reply {
    match asked.header("cookie") {
        Some(cookie) if cookie.contains("ada") => {
            Reply::new(200).header("X-User", "ada").header("X-Channels", "team.red, room.*").body("<html>hello</html>")
        }
        _ => Reply::new(401).body("please log in"),
    }
}

fn with_cookie(target: &str, cookie: &str) -> Request {
    Request::get(target).header("Cookie", format!("theme=dark; sid={cookie}"))
}

async fn fetch(scenario: &Scenario, request: &Request) -> Response {
    scenario.server.fetch(request).await
}

/// A 200 that only says when to come back, which is what a native `EventSource` goes on after.
async fn is_told_to_come_back(scenario: &Scenario, request: &Request) {
    let response = fetch(scenario, request).await;
    assert_eq!((response.status(), response.head.header("content-type")), (200, Some("text/event-stream")));
    assert!(response.text().starts_with("retry: ") && !response.text().contains("data"), "{}", response.text());
}

async fn checked(scenario: &Scenario, outcome: &str) -> f64 {
    scenario.server.metrics().await.sum_where("auth_session_checks_total", "outcome", outcome)
}

async fn checks(scenario: &Scenario, outcome: &str, count: f64) {
    let counted = |metrics: &Metrics| metrics.sum_where("auth_session_checks_total", "outcome", outcome) >= count;
    scenario.server.metrics_until(outcome, counted).await;
}

#[tokio::test]
async fn a_session_is_its_user_and_channels_by_the_headers_of_the_answer() {
    let (app, scenario) = start("", by_header).await;
    let cookie = marker("ada-session");
    let request = with_cookie("/events?channels=room.1,team.red&token=", &cookie).header("X-Request-Id", "r-1");
    let mut stream = EventStream::open(scenario.server.address(), &request).await;
    let connected = stream.connected().await;
    assert_eq!((&connected["user"], &connected["channels"]), (&json!("ada"), &json!(["room.1", "team.red"])));
    for (key, body) in
        [("user.ada.hello", "for ada"), ("user.bob.hello", "for bob"), ("channel.room.1", "for the room")]
    {
        scenario.app.publish(key, body).await;
    }
    assert_eq!(stream.message().await.data, "for ada");
    assert_eq!(stream.message().await.data, "for the room");
    let asked = app.asked().remove(0);
    assert_eq!(asked.target, "/session?for=events", "nothing of the request's own target");
    let mut names: Vec<_> = asked.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    let expected = [
        "cookie",
        "forwarded",
        "host",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-request-id",
    ];
    assert_eq!(names, expected, "nothing else is sent");
    assert_eq!(asked.header("cookie"), Some(format!("theme=dark; sid={cookie}").as_str()));
    assert_eq!(asked.header("x-request-id"), Some("r-1"));
    assert_eq!(asked.header("x-forwarded-host"), Some(scenario.server.address().to_string().as_str()));
}

#[tokio::test]
async fn a_session_is_its_user_and_channels_by_pointers_into_the_answer() {
    let settings = "user = \"/user/id\"\nchannels = \"/user/teams\"\n";
    let body = json!({ "user": { "id": 42, "teams": ["team.red"] } }).to_string();
    let (app, scenario) = start(settings, move |_| Reply::new(200).body(body.clone())).await;
    let request = Request::get("/events").header("Authorization", format!("Basic {}", marker("password")));
    let connected = EventStream::open(scenario.server.address(), &request).await.connected().await;
    assert_eq!((&connected["user"], &connected["channels"]), (&json!("42"), &json!(["team.red"])));
    let asked = app.asked().remove(0);
    assert!(asked.header("authorization").is_some() && asked.header("cookie").is_none());
}

#[tokio::test]
async fn the_refusals_of_the_application_are_passed_on_as_problems() {
    let (app, scenario) = start("", |_| Reply::new(401).body("please log in")).await;
    let request = with_cookie("/events", &marker("session"));
    let response = fetch(&scenario, &request).await;
    assert_eq!((response.status(), response.json()["code"].as_str()), (401, Some("session_refused")));
    assert!(response.head.header("www-authenticate").is_some() && !response.text().contains("please log in"));
    app.says(|_| Reply::new(403));
    let response = fetch(&scenario, &request).await;
    assert_eq!((response.status(), response.json()["code"].as_str()), (403, Some("session_forbidden")));
    app.says(|_| Reply::new(200).header("X-User", "ada"));
    let connected = EventStream::open(scenario.server.address(), &request).await.connected().await;
    assert_eq!(connected["user"], "ada", "a login counts at once");
    let metrics = scenario.server.metrics().await;
    for reason in ["session_refused", "session_forbidden"] {
        assert!((metrics.sum_where("auth_failures_total", "reason", reason) - 1.0).abs() < f64::EPSILON, "{reason}");
    }
}

#[tokio::test]
async fn an_answer_that_decides_nothing_makes_the_browser_come_back() {
    let (app, scenario) = start("timeout = \"300ms\"\nbreaker_failures = 100\n", |_| Reply::new(500)).await;
    let request = with_cookie("/events", &marker("session"));
    is_told_to_come_back(&scenario, &request).await;
    for (reply, outcome) in [
        (Reply::new(302).header("Location", "/login"), "other_status"),
        (Reply::new(404), "other_status"),
        (Reply::new(200).header("X-User", "a").header("X-User", "b"), "invalid"),
        (Reply::new(200).header("X-User", &"u".repeat(2000)), "invalid"),
    ] {
        app.says(move |_| reply.clone());
        // A slow machine has no answer in time, and is asked again.
        eventually(outcome, async || {
            let before = checked(&scenario, outcome).await;
            is_told_to_come_back(&scenario, &request).await;
            (checked(&scenario, outcome).await > before).then_some(())
        })
        .await;
    }
    app.hang();
    is_told_to_come_back(&scenario, &request).await;
    checks(&scenario, "failed", 1.0).await;
    app.wake();
    let metrics = scenario.server.metrics().await;
    assert!(metrics.sum_where("sse_connection_errors_total", "error_type", "session_unavailable") >= 6.0);
    let log = scenario.server.log();
    let lines = log.lines().filter(|line| line.contains("does not say whose a session is")).count();
    assert!((1..6).contains(&lines), "at a limited rate: {log}");
}

#[tokio::test]
async fn an_application_that_is_away_is_left_alone_and_asked_again_after_a_pause() {
    let settings = "breaker_failures = 3\nbreaker_pause = \"500ms\"\ncache = \"0s\"\n";
    let (mut app, scenario) = start(settings, by_header).await;
    let request = with_cookie("/events", &marker("ada-session"));
    app.go_away().await;
    for _ in 0..3 {
        is_told_to_come_back(&scenario, &request).await;
    }
    let open = |metrics: &Metrics| metrics.sum_where("auth_session_checks_total", "outcome", "breaker_open") >= 1.0;
    let before = app.asked().len();
    eventually("a request to be answered without asking", async || {
        is_told_to_come_back(&scenario, &request).await;
        open(&scenario.server.metrics().await).then_some(())
    })
    .await;
    app.come_back().await;
    let answered = async || {
        // A native EventSource never gives up: every answer is a stream, be it one that only says when to come back.
        let mut stream = EventStream::open(scenario.server.address(), &request).await;
        loop {
            match stream.next().await {
                Ok(Observed::Message(message)) => return Some(message.name),
                Ok(Observed::Comment(_) | Observed::Retry(_) | Observed::Position(_)) => {}
                Err(_ended) => return None,
            }
        }
    };
    eventually("the application to be asked again", answered).await;
    assert_eq!(app.asked().len(), before + 1, "one attempt closes it");
    is_a_stream(&scenario, &request).await;
}

async fn is_a_stream(scenario: &Scenario, request: &Request) {
    EventStream::open(scenario.server.address(), request).await.connected().await;
}

#[tokio::test]
async fn many_requests_of_one_session_are_one_question() {
    let (app, scenario) = start("cache = \"1h\"\n", by_header).await;
    app.hang();
    let request = with_cookie("/events", &marker("ada-session"));
    let address = scenario.server.address();
    let streams = (0..20).map(|_| {
        let request = request.clone();
        tokio::spawn(async move { EventStream::open(address, &request).await.connected().await })
    });
    let streams: Vec<_> = streams.collect();
    app.asked_until(1).await;
    app.wake();
    for stream in streams {
        assert_eq!(stream.await.unwrap()["user"], "ada");
    }
    is_a_stream(&scenario, &request).await;
    assert_eq!(app.asked().len(), 1);
    is_a_stream(&scenario, &with_cookie("/events", &marker("ada-session"))).await;
    assert_eq!(app.asked().len(), 2, "another session");
}

#[tokio::test]
async fn what_is_remembered_ends_with_its_time() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let script = |asked: &Asked| {
        ASKED.fetch_add(1, Ordering::Relaxed);
        by_header(asked)
    };
    let (_app, scenario) = start("cache = \"100ms\"\n", script).await;
    let request = with_cookie("/events", &marker("ada-session"));
    eventually("the session to be asked about again", async || {
        is_a_stream(&scenario, &request).await;
        (ASKED.load(Ordering::Relaxed) >= 2).then_some(())
    })
    .await;
}

/// Has an operator end streams.
async fn throw_out(scenario: &Scenario, order: &Value) {
    let request = Request::new("POST", "/disconnect").body(order.to_string());
    assert_eq!(crate::support::http1::fetch(scenario.server.admin(), &request).await.status(), 200, "{order}");
}

#[tokio::test]
async fn who_is_thrown_out_comes_back_only_by_what_the_application_says_then() {
    let everybody = |asked: &Asked| {
        let user = if asked.header("cookie").is_some_and(|cookie| cookie.contains("ada")) { "ada" } else { "bob" };
        Reply::new(200).header("X-User", user).header("X-Channels", "team.red")
    };
    let (app, scenario) = start("cache = \"1h\"\n", everybody).await;
    let (ada, bob) = (with_cookie("/events", "ada"), with_cookie("/events", "bob"));
    is_a_stream(&scenario, &bob).await;
    for target in ["user", "connection", "channel"] {
        app.says(everybody);
        let mut stream = EventStream::open(scenario.server.address(), &ada).await;
        let connected = stream.connected().await;
        app.says(|_| Reply::new(403));
        let asked = app.asked().len();
        is_a_stream(&scenario, &ada).await;
        assert_eq!(app.asked().len(), asked, "what was said is remembered");
        let name = match target {
            "connection" => connected["connectionId"].clone(),
            "channel" => json!("team.red"),
            _ => json!("ada"),
        };
        throw_out(&scenario, &json!({ target: name })).await;
        assert_eq!(stream.message().await.name, "disconnected");
        let response = fetch(&scenario, &ada).await;
        assert_eq!((response.status(), response.json()["code"].as_str()), (403, Some("session_forbidden")), "{target}");
    }
    let asked = app.asked().len();
    is_a_stream(&scenario, &bob).await;
    assert_eq!(app.asked().len(), asked, "nobody else is asked about anew");
}

#[tokio::test]
async fn what_the_application_was_asked_before_somebody_was_thrown_out_lets_him_in_no_more() {
    let questions = AtomicUsize::new(0);
    let script = move |asked: &Asked| match questions.fetch_add(1, Ordering::Relaxed) {
        0 => by_header(asked),
        _ => Reply::new(403),
    };
    let (app, scenario) = start("cache = \"1h\"\n", script).await;
    app.hang();
    let (address, request) = (scenario.server.address(), with_cookie("/events", &marker("ada-session")));
    let opening = tokio::spawn(async move { crate::support::http1::fetch(address, &request).await });
    app.asked_until(1).await;
    throw_out(&scenario, &json!({ "user": "ada" })).await;
    app.wake();
    let response = within("an answer", opening).await.unwrap();
    assert_eq!((response.status(), app.asked().len()), (403, 2));
}

/// Ada with other channels.
fn promoted(_: &Asked) -> Reply {
    Reply::new(200).header("X-User", "ada").header("X-Channels", "team.blue")
}

#[tokio::test]
async fn the_session_of_an_open_stream_is_asked_about_again_and_the_stream_follows() {
    let (mut app, scenario) = start("recheck = \"400ms\"\ncache = \"0s\"\n", by_header).await;
    let request = with_cookie("/events", &marker("ada-session"));
    let mut stream = EventStream::open(scenario.server.address(), &request).await;
    assert_eq!(stream.connected().await["channels"], json!(["team.red"]));
    app.go_away().await;
    let failed = checked(&scenario, "failed").await;
    checks(&scenario, "failed", failed + 1.0).await;
    scenario.app.publish("channel.team.red", "still red").await;
    assert_eq!(stream.message().await.data, "still red", "an application that is away takes no stream away");
    app.says(promoted);
    app.come_back().await;
    // Red stops for this stream before blue begins.
    eventually("the stream to hear of its new team", async || {
        scenario.app.publish("channel.team.blue", "blue").await;
        let subscribers =
            crate::support::http1::fetch(scenario.server.admin(), &Request::get("/subscribers")).await.json();
        (subscribers["subscribers"][0]["channels"] == json!(["team.blue"])).then_some(())
    })
    .await;
    scenario.app.publish("channel.team.red", "red").await;
    scenario.app.publish("user.ada.done", "done").await;
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "done") {
        heard.push(stream.message().await.data);
    }
    assert!(!heard.contains(&"red".to_owned()), "{heard:?}");
    app.says(|_| Reply::new(401));
    let last = stream.message().await;
    assert_eq!((last.name.as_str(), last.data.as_str()), ("disconnected", r#"{"reason":"session_refused"}"#));
    assert!(stream.message_or_end().await.is_err());
}

#[tokio::test]
async fn tokens_and_keys_come_first_and_an_opaque_bearer_is_the_applications() {
    let (app, scenario) = start("", |asked: &Asked| {
        let session = asked.header("authorization") == Some("Bearer 7|opaque");
        if session { Reply::new(200).header("X-User", "eve") } else { Reply::new(401) }
    })
    .await;
    let token = scenario.issuer.token("ada");
    let cookie = marker("session");
    for request in
        [with_cookie("/events", &cookie).bearer(&token), with_cookie(&format!("/events?token={token}"), &cookie)]
    {
        let connected = EventStream::open(scenario.server.address(), &request).await.connected().await;
        assert_eq!(connected["user"], "ada");
    }
    let stranger = Issuer::hmac("HS256").token("ada");
    let response = fetch(&scenario, &with_cookie("/events", &cookie).bearer(&stranger)).await;
    assert_eq!((response.status(), response.json()["code"].as_str()), (401, Some("token_signature_invalid")));
    let response = fetch(&scenario, &Request::get("/events")).await;
    assert_eq!((response.status(), response.json()["code"].as_str()), (401, Some("token_missing")));
    assert_eq!(app.asked().len(), 0, "the application was not bothered with any of these");
    let opaque = Request::get("/events").bearer("7|opaque");
    let connected = EventStream::open(scenario.server.address(), &opaque).await.connected().await;
    assert_eq!(connected["user"], "eve");
}

#[tokio::test]
async fn a_session_of_nobody_is_anonymous_only_where_that_is_allowed() {
    let guests = |_: &Asked| Reply::new(200);
    let (_app, scenario) = start("", guests).await;
    let request = with_cookie("/events", &marker("session"));
    let response = fetch(&scenario, &request).await;
    assert_eq!((response.status(), response.json()["code"].as_str()), (401, Some("session_refused")));
    let app = Website::start(guests).await;
    let changes = format!(
        "[auth]\nanonymous = true\npublic_channels = [\"news\"]\n[auth.forward]\nurl = \"{}\"\n",
        app.url("/session")
    );
    let scenario = Scenario::start_with(&changes).await;
    let connected = EventStream::open(scenario.server.address(), &request).await.connected().await;
    assert_eq!((&connected["user"], &connected["channels"]), (&json!(null), &json!(["news"])));
}

#[tokio::test]
async fn another_origins_page_gets_no_stream_of_the_session() {
    let (app, scenario) = start("", by_header).await;
    let request = with_cookie("/events", &marker("ada-session"));
    for (name, value) in [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")] {
        let response = fetch(&scenario, &request.clone().header(name, value)).await;
        assert_eq!((response.status(), response.json()["code"].as_str()), (403, Some("origin_forbidden")));
    }
    assert_eq!(app.asked().len(), 0);
    is_a_stream(&scenario, &request.header("Sec-Fetch-Site", "same-origin")).await;
}

#[tokio::test]
async fn no_cookie_and_no_password_is_ever_logged() {
    let app = Website::start(by_header).await;
    let changes = format!("[log]\nlevel = \"trace\"\n[auth.forward]\nurl = \"{}\"\n", app.url("/session"));
    let mut scenario = Scenario::start_with(&changes).await;
    let (cookie, password) = (marker("ada-session"), marker("password"));
    is_a_stream(&scenario, &with_cookie("/events", &cookie)).await;
    let basic = with_cookie("/events", &cookie).header("Authorization", format!("Basic {password}"));
    is_a_stream(&scenario, &basic).await;
    for reply in [Reply::new(401), Reply::new(500), Reply::new(200).header("X-User", &"u".repeat(2000))] {
        app.says(move |_| reply.clone());
        fetch(&scenario, &with_cookie("/events", &marker("session"))).await;
    }
    scenario.server.terminate();
    scenario.server.exit().await;
    let log = scenario.server.log();
    assert!(log.contains("does not say whose a session is"), "{log}");
    assert_keeps_secrets("the log", &log);
}

#[tokio::test]
async fn a_configuration_that_comes_while_the_application_is_asked_counts_for_the_stream_as_well() {
    let app = Website::start(by_header).await;
    let forward = format!("[auth.forward]\nurl = \"{}\"\ntimeout = \"20s\"\n", app.url("/session"));
    let before = format!("[admin]\nreload_interval = \"50ms\"\n[auth]\npublic_channels = [\"news\"]\n{forward}");
    let mut scenario = Scenario::start_with(&before).await;
    app.hang();
    let (address, request) = (scenario.server.address(), with_cookie("/events", &marker("ada-session")));
    let opening = tokio::spawn(async move {
        let mut stream = EventStream::open(address, &request).await;
        (stream.connected().await, stream)
    });
    app.asked_until(1).await;
    scenario.rewrite("[auth]\npublic_channels = [\"weather\"]");
    let in_force = async || scenario.server.log().contains("a new configuration is in force").then_some(());
    eventually("a new configuration to be in force", in_force).await;
    app.wake();
    let (connected, mut stream) = opening.await.unwrap();
    assert_eq!(connected["channels"], json!(["team.red", "weather"]));
    for channel in ["news", "weather"] {
        scenario.app.publish(&format!("channel.{channel}"), channel).await;
    }
    assert_eq!(stream.message().await.data, "weather");
}
