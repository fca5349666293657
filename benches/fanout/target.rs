//! What a stream asks of each server under test: the request, the token, and the routing key that reaches it.

use std::net::SocketAddr;

use crate::client::Opening;
use crate::failure::Failure;
use crate::options::Role;
use crate::payload::{EVENT_NAME, Kind, Topic};
use crate::signing::Signing;

/// The name of a channel topic.
pub fn channel(number: u32) -> String {
    format!("bench.{number}")
}

/// The routing key that reaches `topic` under the mappings `channel.{channel...}` and `user.{user}.{event}`.
pub fn routing_key(topic: Topic) -> String {
    match topic.kind {
        Kind::Channel => format!("channel.{}", channel(topic.number)),
        Kind::User => format!("user.{}.{EVENT_NAME}", topic.number),
    }
}

/// The request of the stream numbered `stream` for `topic`. Each stream has a token of its own, as browsers do.
pub fn request(
    role: Role,
    signing: Signing,
    address: SocketAddr,
    topic: Topic,
    stream: u32,
) -> Result<String, Failure> {
    let lines = match role {
        Role::Bare | Role::BareMerged | Role::Nchan | Role::Node | Role::Pushpin => {
            format!("GET /events?{}={} HTTP/1.1\r\n", topic.kind.as_str(), topic.number)
        }
        Role::Cottontail | Role::CottontailRabbitmq => {
            let (query, user) = match topic.kind {
                Kind::Channel => (format!("?channels={}", channel(topic.number)), format!("reader-{stream}")),
                Kind::User => (String::new(), topic.number.to_string()),
            };
            format!("GET /events{query} HTTP/1.1\r\nAuthorization: Bearer {}\r\n", signing.token(&user)?)
        }
    };
    Ok(format!("{lines}Host: {address}\r\nAccept: text/event-stream\r\n\r\n"))
}

/// How `role` says that a stream is open.
pub fn opening(role: Role) -> Opening {
    if role == Role::Nchan { Opening::Head } else { Opening::Event }
}
