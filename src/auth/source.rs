//! Where an issuer's keys come from and how they are written there; when they are read again is decided elsewhere.

use std::fs::File;
use std::io::{self, Read};

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::Algorithm;

use super::jwk::Broken;
use super::keys::{Key, Material, Unusable};
use super::{IssuerConfig, jwk, pem};
use crate::setting::Fault;

/// A key file larger than this is something else.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The one setting that keys come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Secret,
    SecretFile,
    PublicKeyFile,
    JwksFile,
    JwksUrl,
    Discovery,
}

impl Source {
    pub(super) fn of(config: &IssuerConfig, at: &str) -> Result<Self, Fault> {
        let all = [
            (config.secret.is_some(), Self::Secret),
            (config.secret_file.is_some(), Self::SecretFile),
            (config.public_key_file.is_some(), Self::PublicKeyFile),
            (config.jwks_file.is_some(), Self::JwksFile),
            (config.jwks_url.is_some(), Self::JwksUrl),
            (config.discovery, Self::Discovery),
        ];
        let mut given = all.into_iter().filter_map(|(is_given, source)| is_given.then_some(source));
        match (given.next(), given.next()) {
            (Some(source), None) => Ok(source),
            (None, _) => Err(Fault::new(
                at,
                "needs its keys: one of `secret`, `secret_file`, `public_key_file`, `jwks_file`, `jwks_url` and `discovery`",
            )),
            (Some(first), Some(second)) => {
                let (first, second) = (first.name(), second.name());
                Err(Fault::new(at, format!("has both `{first}` and `{second}`; its keys come from one of them")))
            }
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::SecretFile => "secret_file",
            Self::PublicKeyFile => "public_key_file",
            Self::JwksFile => "jwks_file",
            Self::JwksUrl => "jwks_url",
            Self::Discovery => "discovery",
        }
    }

    /// Whether keys come over the network, so that there are none at the start, and no secret ones ever.
    pub(super) const fn is_remote(self) -> bool {
        matches!(self, Self::JwksUrl | Self::Discovery)
    }

    /// What is at the source while the configuration is read; `None` for a remote one.
    pub(super) fn contents(self, config: &IssuerConfig) -> Result<Option<Vec<u8>>, Unusable> {
        match (self, config.key_file()) {
            (Self::Secret, _) => Ok(config.secret.as_ref().map(|secret| secret.expose().into())),
            (_, Some(path)) => read_key_file(path).map(Some),
            (_, None) => Ok(None),
        }
    }

    /// The keys in what was read from here.
    pub(super) fn keys(
        self,
        contents: &[u8],
        secret_base64: bool,
        algorithms: &[Algorithm],
    ) -> Result<Vec<Key>, Unusable> {
        let bind = |material: Material| Ok(vec![Key::bind(&material, None, None, algorithms)?]);
        match self {
            Self::Secret => bind(secret(contents, secret_base64)?),
            Self::SecretFile => bind(secret(without_newline(contents), secret_base64)?),
            Self::PublicKeyFile => bind(pem::read(contents)?),
            Self::JwksFile => jwk::read_set(contents, algorithms, Broken::Refuse),
            Self::JwksUrl | Self::Discovery => jwk::read_set(contents, algorithms, Broken::Skip),
        }
    }
}

impl IssuerConfig {
    /// The file that the keys are in, if they are in one.
    #[must_use]
    pub fn key_file(&self) -> Option<&str> {
        let files = [&self.secret_file, &self.public_key_file, &self.jwks_file];
        files.into_iter().find_map(|file| file.as_deref())
    }
}

/// The contents of a key file, of at most 1 MiB.
pub fn read_key_file(path: &str) -> Result<Vec<u8>, Unusable> {
    let contents = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match contents() {
        Ok(bytes) if bytes.len() as u64 > MAX_FILE_BYTES => Err(Unusable::FileTooLarge(MAX_FILE_BYTES)),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(Unusable::FileUnreadable(error.kind())),
    }
}

fn secret(bytes: &[u8], is_base64: bool) -> Result<Material, Unusable> {
    let secret = if is_base64 && !is_pem(bytes) { decoded(bytes)? } else { bytes.to_vec() };
    if is_pem(&secret) { Err(Unusable::PemAsSecret) } else { Ok(Material::Secret(secret)) }
}

/// A public key as an HMAC secret would let everybody who has it sign.
fn is_pem(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"-----BEGIN")
}

fn decoded(bytes: &[u8]) -> Result<Vec<u8>, Unusable> {
    let any_padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = [STANDARD, URL_SAFE].iter().find_map(|alphabet| {
        let engine = GeneralPurpose::new(alphabet, any_padding);
        engine.decode(bytes).ok()
    });
    decoded.ok_or(Unusable::NotBase64)
}

/// An editor ends a file with a newline that is no part of the secret.
fn without_newline(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}
