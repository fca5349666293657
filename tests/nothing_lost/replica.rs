//! One of the two sidecars: a process that can go and come back at the address that browsers know.

use std::net::SocketAddr;

use crate::relay::Relay;
use crate::support::deadline::within;
use crate::support::http1::{Request, fetch};
use crate::support::metrics::Metrics;
use crate::support::process::{Server, cottontail};
use crate::support::rabbitmq::free_port;

/// A replica with its configuration and, where a test asked for them, relays on either side.
#[derive(Debug)]
pub struct Replica {
    config: String,
    address: SocketAddr,
    server: Server,
    /// Between the replica and the broker.
    pub link: Option<Relay>,
    /// Between browsers and the replica.
    pub front: Option<Relay>,
}

impl Replica {
    pub async fn start(config: String, link: Option<Relay>, with_front: bool) -> Self {
        // A port that nobody else is given while the replica is away.
        let server = Server::start_at(&config, &format!("127.0.0.1:{}", free_port())).await;
        let address = server.address();
        let front = if with_front { Some(Relay::start(address).await) } else { None };
        Self { config, address, server, link, front }
    }

    /// Where browsers connect.
    pub fn address(&self) -> SocketAddr {
        self.front.as_ref().map_or(self.address, Relay::address)
    }

    pub fn link(&self) -> &Relay {
        self.link.as_ref().expect("the plan asked for a relay")
    }

    pub fn front(&self) -> &Relay {
        self.front.as_ref().expect("the plan asked for a relay")
    }

    /// SIGTERM, and waits until the process has drained and gone.
    pub async fn terminate(&mut self) {
        self.server.terminate();
        assert!(self.server.exit().await.success());
    }

    /// What Kubernetes runs as `preStop`; waits until it says that all streams have ended.
    pub async fn drain(&self) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = cottontail(directory.path());
        command.args(["drain", "--admin", &format!("http://{}", self.server.admin())]);
        let output = within("the drain to end", tokio::process::Command::from(command).output()).await;
        let output = output.expect("the program starts");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "all streams have ended\n", "{output:?}");
    }

    /// How many streams it has open.
    pub async fn streams(&self) -> usize {
        let response = fetch(self.server.admin(), &Request::get("/stats")).await;
        let streams = response.json()["connections"].as_u64().expect("a number of streams");
        streams.try_into().expect("a process has fewer")
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        self.server.kill().await;
    }

    /// Starts a successor at the same address and waits until it is ready.
    pub async fn start_again(&mut self) {
        self.server = Server::start_at(&self.config, &self.address.to_string()).await;
    }

    /// Starts another like this one elsewhere and waits until it is ready.
    pub async fn start_another(&self) -> Self {
        Self::start(self.config.clone(), None, false).await
    }

    /// Waits until the replica knows that its broker is there, or that it is not.
    pub async fn broker_is(&self, connected: bool) {
        let wanted = f64::from(u8::from(connected));
        let holds = |metrics: &Metrics| {
            metrics.has("amqp_connected") && (metrics.sum("amqp_connected") - wanted).abs() < f64::EPSILON
        };
        self.server.metrics_until(&format!("amqp_connected to be {wanted}"), holds).await;
    }
}
