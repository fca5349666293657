//! From an accepted socket to an encrypted one, within a time limit; a client that speaks plain HTTP is told so in plain HTTP.

use std::io;
use std::time::Duration;

use rustls::Error as TlsError;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::Tls;
use crate::server::strict::Strict;
use crate::server::wire::Version;
use crate::telemetry::tls::{Failed, handshake_failed};

/// Boxed, since what reads it is moved about.
pub(in crate::server) type Encrypted = Box<TlsStream<TcpStream>>;

/// What a client gets that speaks HTTP where TLS is spoken.
const PLAIN: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\n\
                     Connection: close\r\nContent-Length: ";
const PLAIN_BODY: &str = "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"code\":\"tls_required\",\
                          \"detail\":\"this port speaks HTTPS only\"}";

/// The encrypted stream, unless the handshake fails or is not over within `limit`, which is counted.
pub(in crate::server) async fn accept(tls: &Tls, socket: TcpStream, limit: Duration) -> Option<(Version, Encrypted)> {
    let failed = match timeout(limit, shake_hands(tls, socket)).await {
        Ok(Ok(stream)) => {
            // Who chooses nothing speaks HTTP/1.1 (RFC 9113 §3.2).
            let chose_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            return Some((if chose_http2 { Version::Http2 } else { Version::Http1 }, stream));
        }
        Ok(Err(failed)) => failed,
        Err(_elapsed) => Failed::Timeout,
    };
    handshake_failed(failed);
    None
}

async fn shake_hands(tls: &Tls, socket: TcpStream) -> Result<Encrypted, Failed> {
    let mut first = [0];
    match socket.peek(&mut first).await {
        Ok(1) if first[0].is_ascii_uppercase() => {
            // A method's first letter, where TLS has a record's type.
            let answer = format!("{PLAIN}{}\r\n\r\n{PLAIN_BODY}", PLAIN_BODY.len());
            let mut socket = Strict::new(socket);
            // Who does not take it is owed nothing more.
            let _answered = socket.write_all(answer.as_bytes()).await;
            let _ended = socket.shutdown().await;
            return Err(Failed::PlainHttp);
        }
        Ok(1..) => {}
        Ok(0) | Err(_) => return Err(Failed::Closed),
    }
    tls.acceptor.accept(socket).await.map(Box::new).map_err(|error| reason(&error))
}

fn reason(error: &io::Error) -> Failed {
    let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<TlsError>()) else {
        return Failed::Closed;
    };
    if let TlsError::AlertReceived(_) = error {
        Failed::Refused
    } else if let TlsError::PeerIncompatible(_) | TlsError::NoApplicationProtocol = error {
        Failed::Incompatible
    } else {
        Failed::Malformed
    }
}
