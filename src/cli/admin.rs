//! Asks the admin listener of a running process; what the answers mean is each command's own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Collected, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::{Draft, Sources};

/// For connecting, the request and its answer together.
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Where a process listens to operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AdminAddress {
    /// `host:port`
    authority: String,
}

/// Why a process could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    #[error("`--admin` takes http://host:port")]
    Address,
    #[error("nothing answers at {0} within 5s; is that the process's `admin.listen`?")]
    Timeout(String),
    #[error("cannot reach {0}: {1}")]
    Connect(String, #[source] io::Error),
    #[error("{0} does not answer as Cottontail does")]
    Answer(String),
    #[error("{0} answers with status {1}")]
    Status(String, StatusCode),
}

impl AdminAddress {
    /// As given, or else that of the settings, faulty ones elsewhere notwithstanding: the process that is asked runs already.
    pub(super) fn find(given: Option<&str>, sources: &Sources) -> Result<Self, AdminError> {
        let Some(url) = given else { return Ok(Self::of(Draft::read(sources).config().admin.listen)) };
        let uri: Uri = url.parse().map_err(|_| AdminError::Address)?;
        let authority =
            uri.authority().filter(|authority| !authority.as_str().contains('@') && !authority.host().is_empty());
        match (uri.scheme_str(), authority, uri.path()) {
            (Some("http"), Some(authority), "" | "/") => {
                Ok(Self { authority: format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)) })
            }
            _ => Err(AdminError::Address),
        }
    }

    /// A listener on all addresses is asked on loopback.
    fn of(listen: SocketAddr) -> Self {
        let ip = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
        };
        Self { authority: SocketAddr::new(ip, listen.port()).to_string() }
    }

    /// The JSON that one request is answered with.
    pub(super) async fn read<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, AdminError> {
        let answer = timeout(PATIENCE, self.exchange(method, path)).await;
        let answer = answer.map_err(|_elapsed| AdminError::Timeout(self.authority.clone()))??;
        serde_json::from_slice(&answer).map_err(|_| AdminError::Answer(self.authority.clone()))
    }

    async fn exchange(&self, method: Method, path: &str) -> Result<Bytes, AdminError> {
        let socket = TcpStream::connect(&self.authority)
            .await
            .map_err(|error| AdminError::Connect(self.authority.clone(), error))?;
        let unlike_us = |_| AdminError::Answer(self.authority.clone());
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(unlike_us)?;
        let request = Request::builder().method(method).uri(path).header(http::header::HOST, &self.authority);
        let request = request.body(Empty::<Bytes>::new()).map_err(|_| AdminError::Address)?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(unlike_us)?;
            if !response.status().is_success() {
                return Err(AdminError::Status(self.authority.clone(), response.status()));
            }
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
            body.map(Collected::to_bytes).map_err(|_| AdminError::Answer(self.authority.clone()))
        };
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            // The connection may end first, with the whole answer handed over.
            _ended = connection => answer.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_one_given_or_that_of_the_settings() {
        let find = |url: Option<&str>| AdminAddress::find(url, &Sources::default()).ok().map(|found| found.authority);
        assert_eq!(find(Some("http://10.0.0.1:9090")).as_deref(), Some("10.0.0.1:9090"));
        assert_eq!(find(Some("http://[::1]:9090/")).as_deref(), Some("[::1]:9090"));
        assert_eq!(find(Some("http://sidecar")).as_deref(), Some("sidecar:80"));
        for bad in ["", "127.0.0.1:9090", "https://a", "http://a/drain", "http://u:p@a", "http://"] {
            assert_eq!(find(Some(bad)), None, "{bad}");
        }
        let variable = |listen: &str| {
            let environment =
                vec![("COTTONTAIL__ADMIN__LISTEN".into(), listen.into()), ("COTTONTAIL__X".into(), "1".into())];
            AdminAddress::find(None, &Sources { environment, ..Sources::default() }).unwrap().authority
        };
        assert_eq!(variable("0.0.0.0:1"), "127.0.0.1:1");
        assert_eq!(variable("[::]:1"), "[::1]:1");
        assert_eq!(variable("10.0.0.7:1"), "10.0.0.7:1");
    }
}
