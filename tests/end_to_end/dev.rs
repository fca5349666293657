//! `cottontail dev`: nothing but the binary and a browser.

use crate::support::browser::Browser;
use crate::support::http1::Request;
use crate::support::process::Server;

// The page's ids that these tests use:
// `#status` says `connected` while its stream is open, `#events` lists what came,
// `#key` and `#body` are the fields of a form that `#publish` sends.

#[tokio::test]
async fn the_page_shows_what_it_publishes() {
    let server = Server::dev().await;
    let browser = Browser::start().await;
    browser.open(&server.url("/")).await;
    let connected = |status: &serde_json::Value| status.as_str().is_some_and(|status| status.contains("connected"));
    let status = "return document.querySelector('#status')?.textContent";
    browser.run_until("the page to open its stream", status, connected).await;

    let publish = "
        const [key, body] = [document.querySelector('#key'), document.querySelector('#body')];
        if (!key.value) key.value = 'user.demo.hello';
        body.value = arguments[0];
        document.querySelector('#publish').click();";
    browser.run(publish, r#"{"text":"fresh lettuce"}"#).await;
    let events = "return document.querySelector('#events').textContent";
    let shown = |events: &serde_json::Value| events.as_str().is_some_and(|events| events.contains("fresh lettuce"));
    browser.run_until("the page to show the event", events, shown).await;
}

#[tokio::test]
async fn the_development_server_is_for_this_machine_only() {
    let server = Server::dev().await;
    assert!(server.address().ip().is_loopback());
    let page = server.fetch(&Request::get("/")).await;
    assert_eq!(page.status(), 200);
    assert!(page.head.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    assert_eq!(server.fetch(&Request::get("/events")).await.status(), 401, "tokens count here as well");

    let directory = tempfile::tempdir().unwrap();
    let mut command = crate::support::process::cottontail(directory.path());
    let output = command.args(["dev", "--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
