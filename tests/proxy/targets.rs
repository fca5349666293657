//! Which requests go to the application, and that method, path and query get there as they were written.

use crate::scene::Scene;
use crate::wire::field;

#[tokio::test]
async fn the_request_line_is_passed_on_byte_for_byte() {
    let scene = Scene::start().await;
    let mut browser = scene.browser().await;
    let mut app = None;
    for line in [
        "GET /",
        "GET /?",
        "GET //double//slashes/",
        "GET /a/../b/./c/%2e%2E/%2F%00",
        "GET /caf%C3%A9?q=%zz&&=;x[]=1|2",
        "PATCH /p?x=http://other.example/",
        "PROPFIND /dav/*",
        "M-SEARCH *",
        "get /lower",
        "GET /events/",
        "GET /eventsx",
        "GET /events/a/b?token=of-the-application",
    ] {
        browser.say(format!("{line} HTTP/1.1\r\nHost: shop.example\r\n\r\n")).await;
        if app.is_none() {
            app = Some(scene.accept().await);
        }
        let app = app.as_mut().unwrap();
        let head = app.head().await;
        assert!(head.starts_with(&format!("{line} HTTP/1.1\r\n")), "{line}: {head}");
        app.say("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert!(browser.head().await.starts_with("HTTP/1.1 204 No Content\r\n"));
    }
}

#[tokio::test]
async fn options_of_the_whole_server_and_absolute_targets_arrive_in_their_own_form() {
    let scene = Scene::start().await;
    let (_, _, head) = scene.ask("OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert!(head.starts_with("OPTIONS * HTTP/1.1\r\n"), "{head}");
    let (_, _, head) = scene.ask("GET http://b.example:81/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert!(head.starts_with("GET /x?y HTTP/1.1\r\n"), "{head}");
    assert_eq!(field(&head, "host"), Some("b.example:81"), "RFC 9112 §3.2.2");
}

#[tokio::test]
async fn an_endpoint_is_never_forwarded_however_it_is_spelled() {
    let scene = Scene::start().await;
    let mut browser = scene.browser().await;
    for (path, status) in [
        ("/events?token=secret", "401"),
        ("/%65vents?token=secret", "404"),
        ("/x/../events/news?token=secret", "404"),
        ("//events?token=secret", "404"),
    ] {
        browser.say(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let head = browser.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
        let length = field(&head, "content-length").unwrap().parse().unwrap();
        browser.exactly(length).await;
    }
    // Had one been forwarded, it would be the first to arrive.
    let (_, _, head) = scene.ask("GET /mine HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(head.starts_with("GET /mine "), "{head}");
}

/// RFC 9110 §7.6.2.
#[tokio::test]
async fn what_may_be_forwarded_so_many_times_only_is_counted_down() {
    let scene = Scene::start().await;
    for (method, before, after) in [("OPTIONS", "3", "2"), ("TRACE", "1", "0"), ("GET", "0", "0")] {
        let (.., head) = scene.ask(&format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {before}\r\n\r\n")).await;
        assert_eq!(field(&head, "max-forwards"), Some(after), "{method}");
    }
    for method in ["OPTIONS", "TRACE"] {
        let mut browser = scene.browser().await;
        browser.say(format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n")).await;
        let answer = browser.until("max_forwards_reached").await;
        assert!(answer.starts_with("HTTP/1.1 501 "), "{method}: {answer}");
    }
}

#[tokio::test]
async fn connect_is_refused() {
    let scene = Scene::start().await;
    let mut browser = scene.browser().await;
    browser.say("CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n").await;
    let answer = browser.rest().await;
    assert!(answer.starts_with("HTTP/1.1 501 ") && answer.contains("\"connect_not_implemented\""), "{answer}");
}
