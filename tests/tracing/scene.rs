//! The program between a broker, an application and a collector.

use crate::support::application::Application;
use crate::support::http1::Request;
use crate::support::process::Server;
use crate::support::rabbitmq;
use crate::support::sse::EventStream;
use crate::support::tokens::Issuer;
use crate::support::website::{Reply, Website};

/// The trace of whoever calls, as W3C's own example has it.
pub const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub const CALLER: &str = "00f067aa0ba902b7";
pub const STATE: &str = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";

pub fn traceparent() -> String {
    format!("00-{TRACE}-{CALLER}-01")
}

pub struct Scene {
    pub server: Server,
    pub app: Application,
    pub website: Website,
    pub issuer: Issuer,
}

impl Scene {
    /// With these variables in the program's environment.
    pub async fn start(variables: &[(&str, &str)]) -> Self {
        let app = Application::connect(rabbitmq::vhost(&format!("v{:016x}", fastrand::u64(..))).await).await;
        let website = Website::start(|asked| {
            let status = if asked.target.starts_with("/broken") { 500 } else { 200 };
            Reply::new(status).body("from the application")
        })
        .await;
        let issuer = Issuer::hmac("HS256");
        let config = format!(
            r#"
[server]
drain_delay = "0s"

[admin]
ready_needs_broker = true

[log]
level = "info"

[broker]
urls = ["{}"]
exchange = "{}"

[history]
kind = "memory"

[upstream]
url = "{}"

[[auth.issuer]]
algorithms = ["HS256"]
secret = "{}"

[[endpoint]]
path = "/events"

[[mapping]]
routing_key = "user.{{user}}.{{event}}"
user = "{{user}}"
event = "{{event}}"

[[mapping]]
routing_key = "order.*.updated"
user = "{{body:/customer/id}}"
"#,
            app.url,
            app.exchange,
            website.url(""),
            issuer.secret(),
        );
        let server = Server::start_with_variables(&config, variables).await;
        Self { server, app, website, issuer }
    }

    /// Exporting to `collector` every few milliseconds, and with more variables.
    pub async fn exporting_to(collector: &str, variables: &[(&str, &str)]) -> Self {
        let usual = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector), ("OTEL_BSP_SCHEDULE_DELAY", "20")];
        Self::start(&[&usual, variables].concat()).await
    }

    pub async fn subscribe(&self, user: &str) -> EventStream {
        let request = Request::get(format!("/events?token={}", self.issuer.token(user)));
        let mut stream = EventStream::open(self.server.address(), &request).await;
        stream.connected().await;
        stream
    }
}
