//! An application that a test plays itself, the program in front of it, and browsers.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::support::deadline::within;
use crate::support::process::Server;
use crate::wire::Wire;

pub struct Scene {
    pub server: Server,
    listener: TcpListener,
}

impl Scene {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// `upstream` is TOML for the section of that name; further sections may follow.
    pub async fn start_with(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = program(listener.local_addr().unwrap(), upstream).await;
        Self { server, listener }
    }

    /// The next connection to the application.
    pub async fn accept(&self) -> Wire {
        Wire::new(within("a connection to the application", self.listener.accept()).await.unwrap().0)
    }

    pub fn app(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub async fn browser(&self) -> Wire {
        Wire::connect(self.server.address()).await
    }

    /// A browser that has sent these bytes, the connection on which the application got them, and the head that it got.
    pub async fn ask(&self, bytes: &str) -> (Wire, Wire, String) {
        let mut browser = self.browser().await;
        browser.say(bytes).await;
        let mut app = self.accept().await;
        let head = app.head().await;
        (browser, app, head)
    }

    /// The head of the application's answer as a browser gets it, when the application says these bytes and no body follows.
    pub async fn answer(&self, request: &str, response: &str) -> String {
        let (mut browser, mut app, _) = self.ask(request).await;
        app.say(response).await;
        browser.head().await
    }

    pub async fn requests(&self, code: &str) -> f64 {
        self.server.metrics().await.sum_where("proxy_requests_total", "code", code)
    }
}

/// The program in front of whatever is at `app`.
pub async fn program(app: SocketAddr, upstream: &str) -> Server {
    Server::start(&format!(
        r#"
[log]
level = "info,cottontail::access=debug"

[broker]
urls = ["amqp://127.0.0.1:1/%2f"]

[[auth.issuer]]
algorithms = ["HS256"]
secret = "a secret of no importance, but long enough"

[[mapping]]
routing_key = "user.{{user}}.{{event}}"
user = "{{user}}"
event = "{{event}}"

[upstream]
url = "http://{app}"
{upstream}
"#
    ))
    .await
}
