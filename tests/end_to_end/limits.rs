//! Too many streams, too fast: who is turned away, in which of the two forms, and who is not.

use crate::scenario::Scenario;
use crate::support::deadline::eventually;
use crate::support::eventsource_decoder::Observed;
use crate::support::http1::{Ended, Request, Response, send};
use crate::support::sse::{EventStream, Occurrence, Reconnecting};

/// The clients' own addresses are what this proxy says.
const BEHIND_A_PROXY: &str = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";

fn request(token: &str) -> Request {
    Request::get("/events").bearer(token)
}

fn from(address: &str, token: &str) -> Request {
    request(token).header("X-Forwarded-For", address)
}

/// What a native `EventSource` is to get: a stream that says when to come back, and nothing else. Gives the milliseconds.
fn retry(response: &Response) -> u64 {
    assert_eq!(response.status(), 200, "any other status would make a browser give up for good");
    assert_eq!(response.head.header("content-type"), Some("text/event-stream"));
    let text = response.text();
    let retry = text.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\n\n"));
    retry.and_then(|retry| retry.parse().ok()).unwrap_or_else(|| panic!("nothing but a retry: {text:?}"))
}

/// What is said to who asks for a status.
fn refusal(response: &Response, status: u16, code: &str) {
    assert_eq!(response.status(), status, "{}", response.text());
    assert_eq!(response.head.header("content-type"), Some("application/problem+json"));
    assert_eq!(response.head.header("preference-applied"), Some("overload=status"));
    assert_eq!(response.json()["code"], code);
    let after = response.head.header("retry-after").and_then(|after| after.parse::<u64>().ok());
    assert!(after.is_some_and(|seconds| (1..=60).contains(&seconds)), "{after:?}");
}

/// Asks in both ways for a stream that is beyond a limit.
async fn is_turned_away(scenario: &Scenario, request: Request, status: u16, code: &'static str) {
    let before = scenario.server.metrics().await.sum_where("sse_connection_errors_total", "error_type", code);
    assert!(retry(&scenario.server.fetch(&request).await) <= 60_000);
    refusal(&scenario.server.fetch(&request.header("Prefer", "overload=status")).await, status, code);
    let after = scenario.server.metrics().await.sum_where("sse_connection_errors_total", "error_type", code);
    assert!((after - before - 2.0).abs() < f64::EPSILON, "{code}: {before} and then {after}");
}

async fn opened(scenario: &Scenario, request: &Request) -> EventStream {
    let mut stream = EventStream::open(scenario.server.address(), request).await;
    stream.connected().await;
    stream
}

/// Waits until the server has noticed that all but `left` streams are gone.
async fn until_open(scenario: &Scenario, left: u32) {
    let open = move |metrics: &crate::support::metrics::Metrics| {
        (metrics.sum("sse_active_connections") - f64::from(left)).abs() < f64::EPSILON
    };
    scenario.server.metrics_until("streams to be counted out", open).await;
}

#[tokio::test]
async fn a_full_process_turns_away_until_somebody_leaves() {
    let scenario = Scenario::start_with("[stream]\nmax_streams = 2").await;
    let _first = scenario.subscribe("ada").await;
    let second = scenario.subscribe("bob").await;
    let token = scenario.issuer.token("eve");
    is_turned_away(&scenario, request(&token), 503, "too_many_streams").await;
    drop(second);
    until_open(&scenario, 1).await;
    opened(&scenario, &request(&token)).await;
}

#[tokio::test]
async fn a_browser_that_was_turned_away_gets_in_by_itself_when_there_is_room() {
    let scenario = Scenario::start_with("[stream]\nmax_streams = 1\nretry = \"50ms\"\nmax_retry = \"200ms\"").await;
    let first = scenario.subscribe("ada").await;
    let mut waiting = Reconnecting::start(scenario.server.address(), request(&scenario.issuer.token("bob")));
    for expected in [Occurrence::Open, Occurrence::Interrupted, Occurrence::Open, Occurrence::Interrupted] {
        assert_eq!(waiting.next().await, expected);
    }
    drop(first);
    assert_eq!(waiting.message().await.name, "connected");
}

#[tokio::test]
async fn one_token_opens_no_more_streams_than_a_user_may_have() {
    const STREAMS: usize = 500;
    let scenario = Scenario::start_with("[stream]\nmax_streams_per_user = 20").await;
    for user in ["ada".to_owned(), "x".repeat(1000)] {
        let token = scenario.issuer.token(&user);
        let mut open = Vec::new();
        let mut turned_away = 0;
        for _ in 0..STREAMS {
            let mut stream = EventStream::open(scenario.server.address(), &request(&token)).await;
            match stream.next().await.expect("it says something") {
                Observed::Retry(_) if open.len() < 20 => open.push(stream),
                Observed::Retry(_) => {
                    assert_eq!(stream.rest().await, (Vec::new(), Ended::Properly));
                    turned_away += 1;
                }
                other @ (Observed::Comment(_) | Observed::Position(_) | Observed::Message(_)) => panic!("{other:?}"),
            }
        }
        assert_eq!((open.len(), turned_away), (20, STREAMS - 20));
        is_turned_away(&scenario, request(&token), 429, "too_many_streams_of_user").await;
        opened(&scenario, &request(&scenario.issuer.token("somebody else"))).await;
        scenario
            .app
            .publish(&format!("order.{}.updated", open.len()), format!("{{\"customer\":{{\"id\":\"{user}\"}}}}"))
            .await;
        for stream in &mut open {
            assert_eq!(stream.connected().await["user"], user.as_str());
            assert_eq!(stream.message().await.name, "order-updated");
        }
        open.truncate(10);
        until_open(&scenario, 10).await;
        drop(opened(&scenario, &request(&token)).await);
        drop(open);
        until_open(&scenario, 0).await;
    }
}

#[tokio::test]
async fn where_the_oldest_make_room_a_new_stream_ends_the_oldest_one_of_its_user() {
    let changes = "[server]\nthreads = 4\n[stream]\nmax_streams_per_user = 2\nper_user = \"end_oldest\"";
    let scenario = Scenario::start_with(changes).await;
    let token = scenario.issuer.token("ada");
    let mut open = vec![scenario.subscribe_at("/events", &token).await, scenario.subscribe_at("/events", &token).await];
    let _other = scenario.subscribe("bob").await;
    for _ in 0..5 {
        open.push(scenario.subscribe_at("/events", &token).await);
        let mut oldest = open.remove(0);
        let last = oldest.message().await;
        assert_eq!((last.name.as_str(), last.data.as_str()), ("disconnected", r#"{"reason":"displaced"}"#));
        let (said, ended) = oldest.rest().await;
        assert_eq!(ended, Ended::Properly);
        assert!(matches!(said[..], [Observed::Retry(30_000..=60_000)]), "so that it displaces nobody soon: {said:?}");
        until_open(&scenario, 3).await;
    }
    scenario.app.publish("user.ada.hello", "hi").await;
    for stream in &mut open {
        assert_eq!(stream.message().await.data, "hi");
    }
}

#[tokio::test]
async fn one_address_takes_no_more_streams_than_it_may_have_and_keeps_no_other_out() {
    let scenario = Scenario::start_with(&format!("{BEHIND_A_PROXY}[stream]\nmax_streams_per_address = 3")).await;
    let token = scenario.issuer.token("ada");
    for (mine, mine_as_well, other) in [
        ("203.0.113.7", "6.6.6.6, 203.0.113.7", "203.0.113.8"),
        ("2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:3::1"),
    ] {
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(opened(&scenario, &from(mine, &token)).await);
        }
        for address in [mine, mine_as_well] {
            is_turned_away(&scenario, from(address, &token), 429, "too_many_streams_of_address").await;
        }
        drop(opened(&scenario, &from(other, &token)).await);
        open.pop();
        until_open(&scenario, 2).await;
        drop(opened(&scenario, &from(mine, &token)).await);
        drop(open);
        until_open(&scenario, 0).await;
    }
}

#[tokio::test]
async fn who_is_no_trusted_proxy_speaks_for_nobody_else() {
    let scenario = Scenario::start_with("[stream]\nmax_streams_per_address = 1").await;
    let token = scenario.issuer.token("ada");
    let _first = opened(&scenario, &from("203.0.113.7", &token)).await;
    is_turned_away(&scenario, from("203.0.113.8", &token), 429, "too_many_streams_of_address").await;
    let hint = async || scenario.server.log().contains("server.trusted_proxies").then_some(());
    eventually("the log to say what may have to be changed", hint).await;
}

#[tokio::test]
async fn streams_are_opened_no_faster_than_is_allowed() {
    let scenario = Scenario::start_with("[stream]\nmax_opens_per_second = 1").await;
    let token = scenario.issuer.token("ada");
    let mut open = Vec::new();
    // Ten seconds' worth at once, and then one a second.
    for _ in 0..10 {
        open.push(opened(&scenario, &request(&token)).await);
    }
    let asked = request(&token).header("Prefer", "overload=status");
    let refused = eventually("an attempt that comes too fast", async || {
        // A stream that is opened is dropped again, which gives no attempt back.
        let (head, _body) = send(scenario.server.address(), &asked).await.unwrap();
        (head.status != 200).then_some(head)
    })
    .await;
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true), "{refused:?}");
    let code = "opening_too_fast";
    let counted = scenario.server.metrics().await.sum_where("sse_connection_errors_total", "error_type", code);
    assert!((counted - 1.0).abs() < f64::EPSILON, "{counted}");
}

#[tokio::test]
async fn a_flood_from_one_address_is_cut_down_before_its_tokens_are_looked_at_and_others_get_in() {
    let changes =
        format!("{BEHIND_A_PROXY}[stream]\nmax_opens_per_second_per_address = 5\nmax_streams_per_address = 0");
    let scenario = Scenario::start_with(&changes).await;
    let flood = Request::get("/events").bearer("rabbit").header("X-Forwarded-For", "203.0.113.7");
    let mut statuses = Vec::new();
    for _ in 0..200 {
        statuses.push(scenario.server.fetch(&flood).await.status());
    }
    let looked_at = statuses.iter().filter(|status| **status == 401).count();
    // Fifty at once, and five for each second that it takes.
    assert!((50..150).contains(&looked_at), "{looked_at}");
    assert!(statuses.iter().all(|status| [200, 401].contains(status)), "{statuses:?}");
    refusal(&scenario.server.fetch(&flood.header("Prefer", "overload=status")).await, 429, "address_opening_too_fast");
    let token = scenario.issuer.token("ada");
    opened(&scenario, &from("203.0.113.8", &token)).await;
}

#[tokio::test]
async fn waits_get_longer_while_the_crowd_stays_and_never_longer_than_the_longest() {
    let changes = "[stream]\nmax_streams = 1\nretry = \"100ms\"\nmax_retry = \"1500ms\"";
    let scenario = Scenario::start_with(changes).await;
    let _only = scenario.subscribe("ada").await;
    let again = request(&scenario.issuer.token("bob"));
    let first = retry(&scenario.server.fetch(&again).await);
    assert!((50..=150).contains(&first), "{first}");
    eventually("a wait near the longest", async || {
        let wait = retry(&scenario.server.fetch(&again).await);
        assert!(wait <= 1500, "{wait}");
        (wait > 750).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stream_for_which_too_much_comes_ends_and_finds_the_rest_in_the_history() {
    for (limit, reason) in
        [("max_events_per_second = 2", "event_rate"), ("max_bytes_per_second = \"100 B\"", "byte_rate")]
    {
        let scenario = Scenario::start_with(&format!("[stream]\n{limit}\nmax_retry = \"1s\"")).await;
        let mut stream = scenario.subscribe("ada").await;
        let mut other = scenario.subscribe("bob").await;
        let bodies: Vec<String> = (0..60).map(|number| format!("{number:040}")).collect();
        for body in &bodies {
            scenario.app.publish("user.ada.hello", body).await;
        }
        let (said, ended) = stream.rest().await;
        assert_eq!(ended, Ended::Properly);
        assert!(matches!(said.last(), Some(Observed::Retry(500..=1000))), "{said:?}");
        let mut received: Vec<String> = said
            .into_iter()
            .filter_map(|observed| match observed {
                Observed::Message(message) => Some(message.data),
                Observed::Comment(_) | Observed::Position(_) | Observed::Retry(_) => None,
            })
            .collect();
        assert!((1..60).contains(&received.len()), "{}", received.len());
        let resume = request(&scenario.issuer.token("ada")).header("Last-Event-ID", stream.last_event_id());
        let mut resumed = EventStream::open(scenario.server.address(), &resume).await;
        assert_eq!(resumed.connected().await["resumed"], true);
        while received.len() < bodies.len() {
            received.push(resumed.message().await.data);
        }
        assert!(received == bodies, "every event once and in order");
        scenario.app.publish("user.bob.hello", "still here").await;
        assert_eq!(other.message().await.data, "still here");
        let ended = scenario.server.metrics().await.sum_where("sse_connection_errors_total", "error_type", reason);
        assert!((ended - 1.0).abs() < f64::EPSILON, "{reason}: {ended}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_may_ask_for_a_status_and_read_when_to_come_back() {
    let origin = "https://app.example.com";
    let changes = format!("[cors]\norigins = [\"{origin}\"]\n[stream]\nmax_streams = 1");
    let scenario = Scenario::start_with(&changes).await;
    let _only = scenario.subscribe("ada").await;
    let asked = request(&scenario.issuer.token("bob")).header("Origin", origin).header("Prefer", "overload=status");
    let response = scenario.server.fetch(&asked).await;
    assert_eq!(response.head.header("access-control-allow-origin"), Some(origin));
    let exposed = response.head.header("access-control-expose-headers").unwrap().to_lowercase();
    assert!(exposed.contains("retry-after"), "{exposed}");
    let preflight = Request::new("OPTIONS", "/events")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "GET")
        .header("Access-Control-Request-Headers", "prefer");
    let allowed = scenario.server.fetch(&preflight).await;
    let allowed = allowed.head.header("access-control-allow-headers").unwrap().to_lowercase();
    assert!(allowed.contains("prefer"), "{allowed}");
}
