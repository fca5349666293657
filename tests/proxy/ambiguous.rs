//! Requests that two parsers could read differently (RFC 9112 §11.2): refused, the connection closed, nothing forwarded.

use crate::scene::Scene;
use crate::support::metrics::Metrics;

async fn refused(requests: &[&str]) {
    let scene = Scene::start().await;
    for request in requests {
        let mut browser = scene.browser().await;
        browser.say(request).await;
        let answer = browser.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request:?}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 4").count(), 1, "{request:?}: {answer:?}");
    }
    let all = u32::try_from(requests.len()).expect("few requests");
    let counted = |metrics: &Metrics| {
        let counted = metrics.sum("sse_connection_errors_total") + metrics.sum("proxy_requests_total");
        (counted - f64::from(all)).abs() < f64::EPSILON
    };
    scene.server.metrics_until("each to be counted once", counted).await;
    // The application sees nothing of them: what comes first is what was asked last.
    let (_, _, head) = scene.ask("GET /clear HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(head.starts_with("GET /clear "), "{head}");
}

const NEXT: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_body_is_framed_by_one_field_only() {
    let both =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{NEXT}");
    let the_other_way =
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{NEXT}");
    let twice = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 4\r\n\r\n{NEXT}");
    let twice_the_same = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n{NEXT}");
    let list = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n{NEXT}");
    let signed = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n{NEXT}");
    refused(&[&both, &the_other_way, &twice, &twice_the_same, &list, &signed]).await;
}

#[tokio::test]
async fn the_one_coding_is_chunked() {
    let coded = |coding: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{coding}\r\n\r\n0\r\n\r\n{NEXT}");
    let requests = [
        coded("Transfer-Encoding: gzip, chunked"),
        coded("Transfer-Encoding: identity"),
        coded("Transfer-Encoding: chunked, identity"),
        coded("Transfer-Encoding: xchunked"),
        coded("Transfer-Encoding:\u{b}chunked"),
        coded("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        coded("Transfer-Encoding : chunked"),
        coded("Transfer-Encoding\t: chunked"),
        coded("X: y\r\n Transfer-Encoding: chunked"),
        coded("Transfer-Encoding: chunked").replace("HTTP/1.1\r\nHost", "HTTP/1.0\r\nHost"),
    ];
    refused(&requests.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_line_ends_with_both_its_bytes() {
    refused(&[
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\n\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\0\r\n\r\n",
        "GET /#fragment HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn a_request_is_for_one_host() {
    refused(&[
        "GET / HTTP/1.1\r\n\r\n",
        "GET b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /events HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
    ])
    .await;
}

/// The head has gone on when a chunk turns out to be bad, but the request never comes to its end there.
#[tokio::test]
async fn a_bad_chunk_ends_the_request_on_both_sides() {
    let scene = Scene::start().await;
    for chunks in [
        "3\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "0\r\nX : y\nZ: z\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
    ] {
        let head = "POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut browser = scene.browser().await;
        browser.say(head).await;
        let mut app = scene.accept().await;
        app.head().await;
        browser.say(format!("{chunks}{NEXT}")).await;
        let answer = browser.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("body_broken"), "{chunks:?}: {answer:?}");
        let seen = app.rest().await;
        assert!(!seen.contains("0\r\n\r\n") && !seen.contains("smuggled"), "{chunks:?}: {seen:?}");
    }
}

#[tokio::test]
async fn what_comes_after_a_clear_request_is_judged_as_well() {
    let scene = Scene::start().await;
    let mut browser = scene.browser().await;
    browser
        .say("POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /second HTTP/1.1\nHost: a\r\n\r\n")
        .await;
    let mut app = scene.accept().await;
    app.until("abc").await;
    app.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    browser.until("\r\n\r\nok").await;
    assert!(browser.rest().await.starts_with("HTTP/1.1 400 "));
}
