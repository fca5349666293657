//! The setting of most tests: an application with its exchange, an issuer of tokens, and the program between them.

use crate::support::application::Application;
use crate::support::http1::Request;
use crate::support::process::Server;
use crate::support::rabbitmq;
use crate::support::sse::EventStream;
use crate::support::tokens::Issuer;

const MAPPINGS: &str = r#"
[[mapping]]
routing_key = "user.{user}.{event}"
user = "{user}"
event = "{event}"

[[mapping]]
routing_key = "order.*.updated"
user = "{body:/customer/id}"
event = "order-updated"

[[mapping]]
routing_key = "channel.{channel...}"
channel = "{channel}"

[[mapping]]
routing_key = "announce.#"
everyone = true
event = "{header:event-type}"
"#;

/// Everything between the application and a browser, except the browser.
pub struct Scenario {
    pub server: Server,
    pub app: Application,
    pub issuer: Issuer,
    config: String,
}

impl Scenario {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// `changes` is TOML that is laid over the usual configuration; a list replaces a list.
    pub async fn start_with(changes: &str) -> Self {
        let app = Application::connect(rabbitmq::vhost(&format!("v{:016x}", fastrand::u64(..))).await).await;
        Self::start_for(app, changes).await
    }

    /// As [`Scenario::start_with`], for an application that is connected already.
    pub async fn start_for(app: Application, changes: &str) -> Self {
        let issuer = Issuer::hmac("HS256");
        let config = configuration(&app, &issuer, changes);
        // A port that nobody else is given during a restart.
        let server = Server::start_at(&config, &format!("127.0.0.1:{}", rabbitmq::free_port())).await;
        Self { server, app, issuer, config }
    }

    /// Starts a successor at the address that browsers know, once the old process has ended.
    pub async fn restart(&mut self) {
        let address = self.server.address().to_string();
        self.server.terminate();
        self.server.exit().await;
        self.server = Server::start_at(&self.config, &address).await;
    }

    /// The configuration of the program.
    pub fn config(&self) -> &str {
        &self.config
    }

    /// Lays `changes` over the configuration while the program runs.
    pub fn rewrite(&mut self, changes: &str) {
        let mut config: toml::Table = self.config.parse().expect("the configuration is TOML");
        lay_over(&mut config, changes.parse().expect("the changes are TOML"));
        self.config = config.to_string();
        self.server.rewrite(&self.config);
    }

    /// Starts a second process with the same configuration.
    pub async fn replica(&self) -> Server {
        Server::start(&self.config).await
    }

    /// The stream of `user` at `/events`, with its `connected` message still to come.
    pub async fn open(&self, user: &str) -> EventStream {
        self.open_at("/events", &self.issuer.token(user)).await
    }

    pub async fn open_at(&self, target: &str, token: &str) -> EventStream {
        EventStream::open(self.server.address(), &Request::get(target).bearer(token)).await
    }

    /// As [`Scenario::open`], after `connected` was read: from here on the subscriber misses nothing.
    pub async fn subscribe(&self, user: &str) -> EventStream {
        self.subscribe_at("/events", &self.issuer.token(user)).await
    }

    pub async fn subscribe_at(&self, target: &str, token: &str) -> EventStream {
        let mut stream = self.open_at(target, token).await;
        stream.connected().await;
        stream
    }
}

/// The usual configuration with `changes` laid over it.
pub fn configuration(app: &Application, issuer: &Issuer, changes: &str) -> String {
    let usual = format!(
        r#"
[server]
drain_delay = "0s"

[admin]
ready_needs_broker = true

[log]
format = "json"
level = "info,cottontail=debug"

[broker]
urls = ["{url}"]
exchange = "{exchange}"
reconnect_max = "500ms"

[history]
kind = "memory"
stream = "history-of-{exchange}"

[stream]
retry = "200ms"

[[auth.issuer]]
algorithms = ["{algorithm}"]
secret = "{secret}"
leeway = "0s"

[[endpoint]]
path = "/events"

[[endpoint]]
path = "/api/dashboard/sse"
channels = ["dashboard"]
{MAPPINGS}"#,
        url = app.url,
        exchange = app.exchange,
        algorithm = issuer.algorithm(),
        secret = issuer.secret(),
    );
    let mut config: toml::Table = usual.parse().expect("the usual configuration is TOML");
    lay_over(&mut config, changes.parse().expect("the changes are TOML"));
    config.to_string()
}

fn lay_over(table: &mut toml::Table, changes: toml::Table) {
    for (key, change) in changes {
        match (table.get_mut(&key), change) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(changes)) => lay_over(inner, changes),
            (_, change) => {
                table.insert(key, change);
            }
        }
    }
}
