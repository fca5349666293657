//! A private authority, what it certifies, and clients that trust it alone; made by openssl, which shares nothing with the product.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An authority, and a certificate of its own for `localhost` and 127.0.0.1 with its key; all in PEM.
#[derive(Debug)]
pub struct Certificates {
    pub authority: String,
    pub certificate: String,
    pub key: String,
}

impl Certificates {
    /// Those of this run.
    pub fn of_this_run() -> &'static Self {
        static MADE: OnceLock<Certificates> = OnceLock::new();
        MADE.get_or_init(|| Self::new("localhost"))
    }

    /// New ones, whose subject has this name.
    pub fn new(name: &str) -> Self {
        Self::lasting(name, 2)
    }

    /// The same for so many days; the authority has two.
    pub fn lasting(name: &str, days: u32) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let extensions = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n";
        std::fs::write(path.join("extensions"), extensions).expect("own directory");
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(path, &format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"));
        openssl(path, &format!("req {key} -subj /CN={name} -keyout tls.key -out tls.csr"));
        openssl(
            path,
            &format!(
                "x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -extfile extensions -out tls.pem"
            ),
        );
        let read = |file: &str| std::fs::read_to_string(path.join(file)).expect("openssl wrote it");
        Self { authority: read("ca.pem"), certificate: read("tls.pem"), key: read("tls.key") }
    }

    /// Puts the certificate and the key into `directory` and says where.
    pub fn write(&self, directory: &Path) -> [PathBuf; 2] {
        let paths = ["tls.crt", "tls.key"].map(|name| directory.join(name));
        for (path, text) in paths.iter().zip([&self.certificate, &self.key]) {
            std::fs::write(path, text).expect("the test's own directory");
        }
        paths
    }

    /// The authority as a file of its own, for other programs.
    pub fn authority_file(&self) -> (TempDir, String) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ca.pem");
        std::fs::write(&path, &self.authority).expect("own directory");
        (directory, path.display().to_string())
    }

    /// An encrypted connection that offers these protocols.
    pub async fn connect_on(&self, stream: TcpStream, protocols: &[&str]) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.authority.as_bytes()).expect("openssl wrote PEM");
        roots.add(authority).expect("openssl made an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("the provider has what it takes");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    pub async fn connect(&self, address: SocketAddr, protocols: &[&str]) -> io::Result<TlsStream<TcpStream>> {
        self.connect_on(TcpStream::connect(address).await?, protocols).await
    }
}

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output();
    let output = output.expect("openssl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
