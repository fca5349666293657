//! Opening and closing one connection to one broker, each within a time limit; what is done on it lives elsewhere.
//!
//! TCP and TLS are opened here and handed to lapin: its own dialling has no time limit, keeps its thread when it is given up,
//! and adds a private authority to the system's instead of replacing them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_compat::CompatExt;
use lapin::tcp::{AsyncTcpStream, RustlsConnector, RustlsConnectorConfig};
use lapin::{Connection, ConnectionProperties};
use socket2::{SockRef, Socket};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::BrokerConfig;
use super::address::Address;
use super::failure::{Failure, Step};
use crate::setting::Fault;
use crate::trust;

/// A broker that is told goodbye has this long to answer.
pub(super) const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// How connections are opened.
pub(super) struct Dialer {
    /// Present when an address asks for TLS.
    tls: Option<RustlsConnector>,
    /// In seconds.
    heartbeat: u16,
    limit: Duration,
}

impl Dialer {
    pub(super) fn new(config: &BrokerConfig, tls: bool) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let tls = if tls || config.ca_file.is_some() {
            connector(config).map_err(|fault| faults.push(fault)).ok()
        } else {
            None
        };
        let heartbeat = u16::try_from(config.heartbeat.0.as_secs()).unwrap_or(0);
        if heartbeat == 0 {
            faults.push(Fault::new("broker.heartbeat", "must be between 1s and 18h"));
        }
        if config.connect_timeout.0.is_zero() {
            faults.push(Fault::new("broker.connect_timeout", "must be longer than 0"));
        }
        if faults.is_empty() { Ok(Self { tls, heartbeat, limit: config.connect_timeout.0 }) } else { Err(faults) }
    }

    /// Opens a connection within `broker.connect_timeout`.
    pub(super) async fn dial(&self, address: &Address) -> Result<Wire, Failure> {
        timeout(self.limit, self.open(address)).await.unwrap_or(Err(Failure::Timeout))
    }

    async fn open(&self, address: &Address) -> Result<Wire, Failure> {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(Failure::Unreachable)?;
        stream.set_nodelay(true).map_err(Failure::Lost)?;
        let cutter = Cutter(SockRef::from(&stream).try_clone().map_err(Failure::Lost)?);
        let mut stream = AsyncTcpStream::Plain(stream.compat());
        if address.tls {
            let tls = self.tls.as_ref().expect("present when an address asks for TLS");
            stream = stream.into_rustls(tls, &address.host).await.map_err(Failure::of_tls)?;
        }
        let once = Mutex::new(Some(stream));
        let hand_over = async move |_, _| {
            let stream = once.lock().unwrap_or_else(PoisonError::into_inner).take();
            stream.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected).into())
        };
        let failure = |error| Failure::of(error, Step::Open);
        let runtime = lapin::runtime::default_runtime().map_err(failure)?;
        let name = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connector(address.to_uri(self.heartbeat), runtime, hand_over, properties);
        Ok(Wire { connection: connection.await.map_err(failure)?, _cutter: cutter })
    }
}

/// Shuts the socket down when dropped. lapin's thread for the connection ends with its socket, and not otherwise:
/// neither with the future that opens it nor, while the broker is silent, with the connection.
struct Cutter(Socket);

impl Drop for Cutter {
    fn drop(&mut self) {
        // It fails when the socket is closed already, which is as good.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

/// An open connection. Dropping it cuts it; `close` says goodbye first.
pub(super) struct Wire {
    pub(super) connection: Connection,
    _cutter: Cutter,
}

impl Wire {
    /// Closes in good order, or cuts a broker that does not answer.
    pub(super) async fn close(self) {
        // The outcome changes nothing: the connection is gone either way.
        let _ = timeout(CLOSE_LIMIT, self.connection.close(200, "OK".into())).await;
    }
}

/// Trust in `broker.ca_file` alone, or in the system's authorities.
fn connector(config: &BrokerConfig) -> Result<RustlsConnector, Fault> {
    let trusted = match &config.ca_file {
        Some(path) => {
            let certificates =
                trust::certificates(path).map_err(|distrust| Fault::new("broker.ca_file", distrust.to_string()))?;
            RustlsConnectorConfig::default().with_parsable_certificates(certificates)
        }
        None => RustlsConnectorConfig::new_with_native_certs().map_err(no_system_roots)?,
    };
    trusted.connector_with_no_client_auth().map_err(no_system_roots)
}

fn no_system_roots(_: std::io::Error) -> Fault {
    Fault::new("broker.ca_file", "is needed, since this system has no certificate authorities of its own")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::Span;

    fn faults(config: &BrokerConfig) -> Vec<String> {
        Dialer::new(config, true).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_without_a_usable_authority_is_a_fault() {
        for text in ["", "garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), text).expect("own file");
            let ca_file = Some(file.path().to_string_lossy().into_owned());
            let faults = faults(&BrokerConfig { ca_file, ..BrokerConfig::default() });
            assert!(faults.len() == 1 && faults[0].starts_with("broker.ca_file: "), "{text:?}: {faults:?}");
        }
        let missing = BrokerConfig { ca_file: Some("/nonexistent".into()), ..BrokerConfig::default() };
        assert_eq!(faults(&missing), ["broker.ca_file: cannot be read: entity not found"]);
    }

    #[test]
    fn limits_of_nothing_are_faults() {
        let none = Span::from_millis(0);
        let faults = faults(&BrokerConfig { heartbeat: none, connect_timeout: none, ..BrokerConfig::default() });
        assert_eq!(faults.len(), 2, "{faults:?}");
    }
}
