//! TLS towards browsers: what handshakes are made with, and the certificate, which is read again when its files change.

mod files;
mod handshake;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, crypto::aws_lc_rs};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

pub(super) use handshake::{Encrypted, accept};

use files::{Digest, Files, Problem, expiry};

use super::config::TlsConfig;
use crate::setting::Fault;
use crate::telemetry::tls::certificate_expires;

/// The protocols that browsers may choose from, the better one first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS as all workers do it; one in the process.
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<Current>,
    files: Files,
    interval: Duration,
    seen: Mutex<Seen>,
}

/// What the last look at the files found.
struct Seen {
    digest: Digest,
    /// What was wrong with them, so that it is said once.
    problem: Option<Problem>,
}

/// The certificate and key of new handshakes.
#[derive(Debug)]
struct Current(Mutex<Arc<CertifiedKey>>);

impl Current {
    fn get(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, certified: CertifiedKey) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads certificate and key; `None` when neither is configured.
    ///
    /// # Errors
    /// A file that is missing or is not PEM, a key that is not the certificate's, or one file without the other.
    pub fn load(config: &TlsConfig) -> Result<Option<Self>, Vec<Fault>> {
        let files = match (&config.certificate_file, &config.key_file) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => Files { certificate: certificate.into(), key: key.into() },
            (Some(_), None) => return Err(vec![Fault::new("server.tls.key_file", "is needed with certificate_file")]),
            (None, Some(_)) => return Err(vec![Fault::new("server.tls.certificate_file", "is needed with key_file")]),
        };
        let fault = |problem: Problem| vec![problem.into_fault()];
        let contents = files.read().map_err(fault)?;
        let certified = contents.certified().map_err(fault)?;
        let certificate = Arc::new(Current(Mutex::new(Arc::new(certified))));
        let acceptor = acceptor(Arc::clone(&certificate) as Arc<dyn ResolvesServerCert>);
        let seen = Mutex::new(Seen { digest: contents.digest(), problem: None });
        Ok(Some(Self { acceptor, certificate, files, interval: config.reload_interval.0, seen }))
    }

    /// Looks at the files at every interval; never resolves.
    pub async fn watch(self: Arc<Self>) {
        self.tell_expiry();
        loop {
            sleep(self.interval).await;
            let tls = Arc::clone(&self);
            // A panic there is logged by its own hook, and the next look comes anyway.
            let _looked = spawn_blocking(move || tls.look()).await;
        }
    }

    fn tell_expiry(&self) {
        if let Some(at) = expiry(&self.certificate.get().cert) {
            certificate_expires(at);
        }
    }

    /// Takes what the files hold now for new handshakes, unless it is what they held before or does not work. Blocks.
    fn look(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let certified = match self.files.read() {
            Ok(read) if read.digest() == seen.digest => return,
            // Files that are changing one after the other fit each other at the next look.
            Ok(read) if self.files.read().is_ok_and(|again| again.digest() != read.digest()) => return,
            Ok(read) => {
                seen.digest = read.digest();
                read.certified()
            }
            Err(problem) => Err(problem),
        };
        match certified {
            Ok(certified) => {
                self.certificate.set(certified);
                self.tell_expiry();
                seen.problem = None;
                tracing::info!("the certificate has changed; new connections get the new one");
            }
            Err(problem) if seen.problem.as_ref() == Some(&problem) => {}
            Err(problem) => {
                let setting = problem.setting();
                tracing::error!(setting, %problem, "the certificate's files cannot be used; the one from before stays");
                seen.problem = Some(problem);
            }
        }
    }
}

/// TLS 1.2 and 1.3 with one provider named, so that no other crate's choice decides it.
fn acceptor(certificate: Arc<dyn ResolvesServerCert>) -> TlsAcceptor {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3");
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificate);
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    // Whoever comes back spares both sides the signature; where the system has no randomness for it, nobody does.
    if let Ok(ticketer) = aws_lc_rs::Ticketer::new() {
        config.ticketer = ticketer;
    }
    TlsAcceptor::from(Arc::new(config))
}
