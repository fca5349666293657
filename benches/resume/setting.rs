//! The broker, the program and the users of the benchmark.

use std::collections::HashMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::Options;
use crate::publisher::{self, Publisher};
use crate::support::deadline::eventually;
use crate::support::http1::{Request, fetch};
use crate::support::process::Server;
use crate::support::rabbitmq::Node;
use crate::support::tokens::{Issuer, now};

pub const STREAM: &str = "resume";
/// Events of each user in the ring.
pub const EVENTS_A_USER: usize = 20;

/// Of the program's ring, which is not full then.
pub const RING: &str = "512MiB";
/// … and of one that holds next to nothing.
pub const TINY_RING: &str = "64KiB";

/// The user whose events are measured for their latency.
pub const LIVE: &str = "live";
/// The user who is told where the stream is.
pub const GUIDE: &str = "guide";

/// Everything that the measurements share.
pub struct Setting {
    pub node: Node,
    pub vhost: String,
    pub publisher: Publisher,
    pub server: Server,
    /// The head of a request for each user, by name.
    requests: HashMap<String, String>,
    users: usize,
    history: String,
    issuer: Issuer,
    url: String,
}

impl Setting {
    pub async fn start(options: &Options) -> Self {
        let history = options.history.clone().unwrap_or_else(default_history);
        let node = Node::private().await;
        let vhost = "resume".to_owned();
        let url = node.vhost(&vhost).await;
        let publisher = Publisher::connect(&url).await;
        let issuer = Issuer::hmac("HS256");
        let users = options.events / EVENTS_A_USER;
        let names: Vec<String> =
            (0..users).map(|user| format!("u{user}")).chain([LIVE, GUIDE].map(str::to_owned)).collect();
        let claims: Vec<Value> = names.iter().map(|name| json!({ "sub": name, "exp": now() + 3600 })).collect();
        let tokens = issuer.sign_all(&claims, &json!({}));
        let head = |token: String| format!("GET /events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n");
        let requests = names.into_iter().zip(tokens.into_iter().map(head)).collect();
        let server = Server::start(&configuration(&url, &issuer, &history, 0, RING)).await;
        Self { node, vhost, publisher, server, requests, users, history, issuer, url }
    }

    pub fn has_stream(&self) -> bool {
        self.history == "stream"
    }

    pub const fn users(&self) -> usize {
        self.users
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The request of a browser that may come back with an id; `client` counts through the users again and again.
    pub fn request(&self, client: usize, last_event_id: Option<&str>) -> String {
        self.request_of(&format!("u{}", client % self.users), last_event_id)
    }

    pub fn request_of(&self, user: &str, last_event_id: Option<&str>) -> String {
        let id = last_event_id.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        format!("{}{id}\r\n", self.requests[user])
    }

    /// Replaces the program by one with so many threads (0 for one a processor) and a ring of this size.
    pub async fn restart(&mut self, threads: usize, ring: &str) {
        self.server.terminate();
        self.server.exit().await;
        self.server = Server::start(&configuration(&self.url, &self.issuer, &self.history, threads, ring)).await;
    }

    /// Waits until the program has so many events in its ring.
    pub async fn ring_holds(&self, events: usize) {
        let holds = async || (self.stats().await["history"]["events"].as_u64()? >= events as u64).then_some(());
        eventually("the ring to fill", holds).await;
    }

    pub async fn stats(&self) -> Value {
        fetch(self.server.admin(), &Request::get("/stats")).await.json()
    }

    /// Resident memory of the program in bytes (`VmRSS`).
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        1024 * line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    }
}

fn default_history() -> String {
    let defaults: toml::Table = include_str!("../../config.toml").parse().expect("it is TOML");
    defaults["history"]["kind"].as_str().expect("a word").to_owned()
}

fn configuration(url: &str, issuer: &Issuer, history: &str, threads: usize, ring: &str) -> String {
    let stream = if history == "stream" { format!("stream = \"{STREAM}\"\ndeclare = true") } else { String::new() };
    format!(
        r#"
[server]
drain_window = "1s"
threads = {threads}

[admin]
ready_needs_broker = true

[log]
format = "json"

[broker]
urls = ["{url}"]
exchange = "{exchange}"
reconnect_max = "500ms"

[history]
kind = "{history}"
memory = "{ring}"
{stream}

[stream]
retry = "1s"
max_streams_per_user = 0
max_streams_per_address = 0
max_opens_per_second_per_address = 0

[[auth.issuer]]
algorithms = ["{algorithm}"]
secret = "{secret}"

[[endpoint]]
path = "/events"

[[mapping]]
routing_key = "user.{{user}}"
user = "{{user}}"
event = "count"

[[mapping]]
routing_key = "announce"
everyone = true
event = "count"
"#,
        exchange = publisher::EXCHANGE,
        algorithm = issuer.algorithm(),
        secret = issuer.secret(),
    )
}
