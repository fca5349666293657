//! compose.yaml: what it configures is accepted, and the application in it works with Cottontail in front.

use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::read;
use crate::support::deadline::{eventually, within};
use crate::support::http1::{Request, fetch, try_fetch};
use crate::support::port::free_port;
use crate::support::process::Server;
use crate::support::sse::EventStream;

fn compose() -> Value {
    yaml_serde::from_str(&read("compose.yaml")).unwrap()
}

/// An inline file of compose.yaml.
fn content(name: &str) -> String {
    let content = compose()["configs"][name]["content"].as_str().unwrap().to_owned();
    assert!(!content.contains('$'), "compose would fill it in");
    content
}

/// The application of compose.yaml as a child process; gone with its handle.
struct Legacy {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Legacy {
    async fn start(api: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("legacy.py");
        std::fs::write(&program, content("legacy")).unwrap();
        let port = free_port();
        let secret = compose()["services"]["legacy"]["environment"]["JWT_SECRET"].as_str().unwrap().to_owned();
        let child = Command::new("python3")
            .arg(program)
            .env("PORT", port.to_string())
            .env("JWT_SECRET", secret)
            .env("RABBITMQ_API", api)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let legacy = Self { child, port, _folder: folder };
        let address = ([127, 0, 0, 1], port).into();
        eventually("the application to answer", async || try_fetch(address, &Request::get("/")).await.ok()).await;
        legacy
    }
}

impl Drop for Legacy {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Cottontail as compose.yaml configures it, in front of an application at `port` and with nobody for a broker.
async fn cottontail(port: u16) -> Server {
    let mut config: toml::Table = content("cottontail").parse().unwrap();
    config["upstream"]["url"] = format!("http://127.0.0.1:{port}").into();
    config["broker"]["urls"] = vec!["amqp://shop:shop@127.0.0.1:1/%2f"].into();
    Server::start(&config.to_string()).await
}

#[tokio::test]
async fn page_token_and_stream_have_one_origin() {
    let legacy = Legacy::start("http://nobody:nobody@127.0.0.1:1/api").await;
    let server = cottontail(legacy.port).await;
    let page = server.fetch(&Request::get("/")).await;
    assert!(page.status() == 200 && page.text().contains("new EventSource(\"/events?token=\""), "{}", page.text());
    let token = server.fetch(&Request::get("/token")).await.text();
    // Opening it checks status and content type: the application's token is one that Cottontail takes.
    EventStream::open(server.address(), &Request::get(format!("/events?token={token}"))).await;
    let forged = fetch(server.address(), &Request::get(format!("/events?token={token}x"))).await;
    assert_eq!(forged.status(), 401);
}

#[tokio::test]
async fn an_order_is_published_with_a_key_that_the_mapping_takes() {
    let api = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = api.local_addr().unwrap();
    let legacy = Legacy::start(&format!("http://shop:shop@{address}/api")).await;
    let order = Request::new("POST", "/order");
    let (published, answer) = tokio::join!(
        within("RabbitMQ's API to be called", async {
            let (mut stream, _) = api.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}}") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the request ended early");
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            String::from_utf8(request).unwrap()
        }),
        fetch(([127, 0, 0, 1], legacy.port).into(), &order),
    );
    assert_eq!(answer.status(), 202);
    assert!(published.starts_with("POST /api/exchanges/%2f/shop/publish HTTP/1.1\r\n"), "{published}");
    let (_, message) = published.split_once("\r\n\r\n").unwrap();
    let message: Value = serde_json::from_str(message).unwrap();
    assert_eq!(message["routing_key"], "user.alice.ordered");
    let config: toml::Table = content("cottontail").parse().unwrap();
    assert_eq!(config["mapping"][0]["routing_key"].as_str(), Some("user.{user}.{event}"));
    assert_eq!(config["broker"]["exchange"].as_str(), Some("shop"));
}

#[test]
fn no_service_that_compose_copies_files_into_has_a_root_that_cannot_be_written() {
    let compose = compose();
    for (name, service) in compose["services"].as_object().unwrap() {
        let sources =
            service["configs"].as_array().into_iter().flatten().map(|config| config["source"].as_str().unwrap());
        let copied: Vec<_> = sources.filter(|source| compose["configs"][source].get("content").is_some()).collect();
        // Compose says: cannot create config in read-only service, `file` is the sole supported option.
        assert!(copied.is_empty() || service.get("read_only").is_none(), "{name}: {copied:?}");
        assert!(!copied.is_empty() || name == "rabbitmq", "{name} is looked at");
    }
}

#[tokio::test]
async fn the_container_is_confined_and_for_this_machine_only() {
    let compose = compose();
    let service = &compose["services"]["cottontail"];
    assert_eq!(service["ports"][0], "127.0.0.1:8080:8080");
    assert_eq!(service["cap_drop"][0], "ALL");
    assert_eq!(service["security_opt"][0], "no-new-privileges:true");
    assert_eq!(service["pull_policy"], "build");
    assert_eq!(service["configs"][0]["target"], "/etc/cottontail/config.toml");
}
