//! The two PEM files of a certificate: read within a bound, compared by digest, and made into what a handshake needs.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::setting::Fault;

/// A larger file is something else.
const MAX_FILE_BYTES: u64 = 1 << 20;

pub(super) type Digest = [u8; SHA256_OUTPUT_LEN];

#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// What both files held at one time.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Why the files cannot be used; a clause for a fault, never with a byte of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("cannot be read: {1}")]
    Unreadable(Setting, io::ErrorKind),
    #[error("is larger than 1 MiB")]
    TooLarge(Setting),
    #[error("is not a PEM file")]
    NotPem,
    #[error("has no certificate in PEM form")]
    NoCertificate,
    #[error("has a certificate that cannot be read")]
    CertificateInvalid,
    #[error("has no private key in PEM form (PKCS#8, PKCS#1 or SEC 1, and not encrypted)")]
    NoKey,
    #[error("has a key that cannot be used; RSA, ECDSA on P-256, P-384 or P-521, and Ed25519 can")]
    KeyInvalid,
    #[error("is not the key of the first certificate in certificate_file")]
    Mismatch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    Certificate,
    Key,
}

impl Problem {
    /// The setting whose file it is.
    pub(super) const fn setting(&self) -> &'static str {
        match self {
            Self::Unreadable(Setting::Certificate, _)
            | Self::TooLarge(Setting::Certificate)
            | Self::NotPem
            | Self::NoCertificate
            | Self::CertificateInvalid => "server.tls.certificate_file",
            Self::Unreadable(Setting::Key, _)
            | Self::TooLarge(Setting::Key)
            | Self::NoKey
            | Self::KeyInvalid
            | Self::Mismatch => "server.tls.key_file",
        }
    }

    pub(super) fn into_fault(self) -> Fault {
        Fault::new(self.setting(), self.to_string())
    }
}

impl Files {
    /// Blocks.
    pub(super) fn read(&self) -> Result<Contents, Problem> {
        Ok(Contents {
            certificate: read(&self.certificate, Setting::Certificate)?,
            key: read(&self.key, Setting::Key)?,
        })
    }
}

fn read(path: &Path, setting: Setting) -> Result<Vec<u8>, Problem> {
    let mut contents = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut contents))
        .map_err(|error| Problem::Unreadable(setting, error.kind()))?;
    if contents.len() as u64 > MAX_FILE_BYTES { Err(Problem::TooLarge(setting)) } else { Ok(contents) }
}

impl Contents {
    pub(super) fn digest(&self) -> Digest {
        let both = [digest(&SHA256, &self.certificate), digest(&SHA256, &self.key)];
        let whole = digest(&SHA256, &both.map(|one| one.as_ref().to_vec()).concat());
        whole.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// The chain and the key that belongs to its first certificate.
    pub(super) fn certified(&self) -> Result<CertifiedKey, Problem> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<_, _>>().map_err(|_| Problem::NotPem)?;
        if chain.is_empty() {
            return Err(Problem::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| Problem::NoKey)?;
        let key = default_provider().key_provider.load_private_key(key).map_err(|_| Problem::KeyInvalid)?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) => Ok(certified),
            Err(TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(Problem::Mismatch),
            Err(_) => Err(Problem::CertificateInvalid),
        }
    }
}

/// When the first of a chain's certificates expires (RFC 5280 §4.1.2.5), in Unix time; none if no date can be read.
pub(super) fn expiry(chain: &[CertificateDer<'_>]) -> Option<Duration> {
    let certificates = chain.iter().filter_map(|der| Certificate::from_der(der).ok());
    certificates.map(|certificate| certificate.tbs_certificate.validity.not_after.to_unix_duration()).min()
}
