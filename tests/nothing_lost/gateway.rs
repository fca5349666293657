//! nginx in front of the replicas, set up as the README says, and told of every replica that comes and goes.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::ingress::{Ingress, changed, recipe};
use crate::support::deadline::eventually;
use crate::support::http1::{Request, try_fetch};

const README_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// A gateway that sends each request to one of its replicas.
pub struct Gateway {
    ingress: Ingress,
    /// Counts the lists of replicas that it was given.
    generation: usize,
}

impl Gateway {
    pub async fn start(replicas: &[SocketAddr]) -> Self {
        let ingress = Ingress::nginx_with(&upstream(replicas), "", &locations(0)).await;
        Self { ingress, generation: 0 }
    }

    /// Where browsers connect.
    pub fn address(&self) -> SocketAddr {
        self.ingress.address
    }

    /// From now on these replicas and no others get new requests; what is under way goes on.
    pub async fn send_to(&mut self, replicas: &[SocketAddr]) {
        self.generation += 1;
        self.ingress.reload_nginx(&upstream(replicas), &locations(self.generation));
        let expected = self.generation.to_string();
        eventually("nginx to take over its replicas", async || {
            let response = try_fetch(self.address(), &Request::get("/generation")).await.ok()?;
            (response.text() == expected).then_some(())
        })
        .await;
    }
}

fn upstream(replicas: &[SocketAddr]) -> String {
    let mut upstream = String::from("upstream cottontail {");
    for replica in replicas {
        write!(upstream, " server {replica} max_fails=0;").expect("a string takes it");
    }
    upstream + " keepalive 16; }"
}

/// The README's locations, one for the application, and one that tells whether a reload is over.
fn locations(generation: usize) -> String {
    let recipe = changed(&recipe("nginx", README_ADDRESS), &README_ADDRESS.to_string(), "cottontail");
    format!(
        "{recipe}
         location / {{ proxy_pass http://cottontail; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}
         location = /generation {{ return 200 \"{generation}\"; }}"
    )
}
