//! One `[[auth.issuer]]` made ready: its keys read from the configuration and files, and the choice among them for a token.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::Algorithm;

use super::claims::ClaimRules;
use super::keys::{Key, Material, Unusable};
use super::object::is_pointer;
use super::token::UnverifiedToken;
use super::{AuthError, IssuerConfig, jwk, pem};
use crate::setting::{Fault, Secret};

/// A key file larger than this is something else.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// A longer leeway is no difference of clocks any more.
const MAX_LEEWAY: Duration = Duration::from_secs(3600);
/// Keys of one issuer that a token without a `kid` is tried against.
const MAX_TRIES: usize = 16;

/// A source of tokens: its keys and the rules for its claims.
pub(super) struct Issuer {
    keys: Vec<Key>,
    pub(super) rules: ClaimRules,
    /// What the issuer is recognized by after its rules have changed.
    pub(super) fingerprint: u64,
}

impl Issuer {
    /// Reads keys and checks settings; `at` is the path of the table, as in `auth.issuer.0`. Every fault is added to `faults`.
    pub(super) fn load(config: &IssuerConfig, at: &str, faults: &mut Vec<Fault>) -> Option<Self> {
        let before = faults.len();
        for (name, pointer) in [("user_claim", &config.user_claim), ("channels_claim", &config.channels_claim)] {
            if !is_pointer(pointer) {
                faults.push(Fault::new(format!("{at}.{name}"), "must be a JSON pointer such as \"/sub\" (RFC 6901)"));
            }
        }
        if config.leeway.0 > MAX_LEEWAY {
            faults.push(Fault::new(format!("{at}.leeway"), "must be at most an hour, since it lets expired tokens in"));
        }
        let algorithms = algorithms(config, at, faults);
        let source = match key_source(config, at) {
            Ok(source) => source,
            Err(fault) => {
                faults.push(fault);
                return None;
            }
        };
        // Without an algorithm there is nothing to bind a key to, and that fault is known already.
        if algorithms.is_empty() {
            return None;
        }
        match source.keys(config.secret_base64, &algorithms) {
            Ok(keys) if faults.len() == before => {
                Some(Self { keys, rules: ClaimRules::new(config), fingerprint: fingerprint(config) })
            }
            Ok(_) => None,
            Err(problem) => {
                faults.push(Fault::new(format!("{at}.{}", source.name()), problem));
                None
            }
        }
    }

    /// Whether one of this issuer's keys has signed `token`.
    ///
    /// A key with the token's `kid` comes first, then keys without one; a token without a `kid` is tried against all whose
    /// algorithm fits, up to a limit.
    pub(super) fn verify(&self, token: &UnverifiedToken<'_>) -> Result<(), AuthError> {
        let fitting = || self.keys.iter().filter(|key| key.verifies(token.algorithm));
        if fitting().next().is_none() {
            return Err(AuthError::AlgorithmRefused);
        }
        let kid = token.kid.as_deref();
        let named = fitting().filter(|key| kid.is_none() || key.kid() == kid);
        let nameless = fitting().filter(|key| kid.is_some() && key.kid().is_none());
        let mut tried = named.chain(nameless).take(MAX_TRIES).peekable();
        if tried.peek().is_none() {
            return Err(AuthError::KeyUnknown);
        }
        if tried.any(|key| key.has_signed(token.algorithm, token.signed, token.signature)) {
            Ok(())
        } else {
            Err(AuthError::SignatureInvalid)
        }
    }
}

/// By whose name and by which keys an issuer is known. Lives in this process only.
fn fingerprint(config: &IssuerConfig) -> u64 {
    // Named one by one, so that a new setting is not forgotten here.
    let IssuerConfig {
        secret,
        secret_file,
        secret_base64,
        public_key_file,
        jwks_file,
        issuer,
        algorithms: _,
        audience: _,
        user_claim: _,
        channels_claim: _,
        require_exp: _,
        leeway: _,
    } = config;
    let mut hasher = DefaultHasher::new();
    (secret.as_ref().map(Secret::expose), secret_file, secret_base64, public_key_file, jwks_file, issuer)
        .hash(&mut hasher);
    hasher.finish()
}

fn algorithms(config: &IssuerConfig, at: &str, faults: &mut Vec<Fault>) -> Vec<Algorithm> {
    if config.algorithms.is_empty() {
        faults
            .push(Fault::new(format!("{at}.algorithms"), "must name the algorithms of this issuer, such as \"RS256\""));
    }
    let mut known = Vec::new();
    for (index, name) in config.algorithms.iter().enumerate() {
        match Algorithm::from_str(name) {
            Ok(algorithm) => known.push(algorithm),
            Err(_) => faults.push(Fault::new(
                format!("{at}.algorithms.{index}"),
                "must be one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA",
            )),
        }
    }
    known
}

/// The one setting that keys come from.
enum KeySource<'a> {
    Secret(&'a str),
    SecretFile(&'a str),
    PublicKeyFile(&'a str),
    JwksFile(&'a str),
}

fn key_source<'a>(config: &'a IssuerConfig, at: &str) -> Result<KeySource<'a>, Fault> {
    let all = [
        config.secret.as_ref().map(|secret| KeySource::Secret(secret.expose())),
        config.secret_file.as_deref().map(KeySource::SecretFile),
        config.public_key_file.as_deref().map(KeySource::PublicKeyFile),
        config.jwks_file.as_deref().map(KeySource::JwksFile),
    ];
    let mut given = all.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(source), None) => Ok(source),
        (None, _) => {
            Err(Fault::new(at, "needs its keys: one of `secret`, `secret_file`, `public_key_file` and `jwks_file`"))
        }
        (Some(first), Some(second)) => {
            let (first, second) = (first.name(), second.name());
            Err(Fault::new(at, format!("has both `{first}` and `{second}`; its keys come from one of them")))
        }
    }
}

impl KeySource<'_> {
    const fn name(&self) -> &'static str {
        match self {
            Self::Secret(_) => "secret",
            Self::SecretFile(_) => "secret_file",
            Self::PublicKeyFile(_) => "public_key_file",
            Self::JwksFile(_) => "jwks_file",
        }
    }

    /// The keys, or a clause that says what is wrong with them.
    fn keys(&self, secret_base64: bool, algorithms: &[Algorithm]) -> Result<Vec<Key>, String> {
        let bind = |material: Result<Material, Unusable>| {
            material.and_then(|material| Ok(vec![Key::bind(&material, None, None, algorithms)?]))
        };
        let keys = match self {
            Self::Secret(text) => bind(secret(text.as_bytes(), secret_base64)),
            Self::SecretFile(path) => bind(secret(without_newline(&read(path)?), secret_base64)),
            Self::PublicKeyFile(path) => bind(pem::read(&read(path)?)),
            Self::JwksFile(path) => jwk::read_set(&read(path)?, algorithms),
        };
        keys.map_err(|problem| problem.to_string())
    }
}

fn secret(bytes: &[u8], is_base64: bool) -> Result<Material, Unusable> {
    // A public key as an HMAC secret would let everybody who has it sign.
    if bytes.starts_with(b"-----BEGIN") {
        return Err(Unusable::PemAsSecret);
    }
    if !is_base64 {
        return Ok(Material::Secret(bytes.to_vec()));
    }
    let any_padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = [STANDARD, URL_SAFE].iter().find_map(|alphabet| {
        let engine = GeneralPurpose::new(alphabet, any_padding);
        engine.decode(bytes).ok()
    });
    decoded.map(Material::Secret).ok_or(Unusable::NotBase64)
}

/// An editor ends a file with a newline that is no part of the secret.
fn without_newline(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    let contents = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match contents() {
        Ok(bytes) if bytes.len() as u64 > MAX_FILE_BYTES => Err(format!("names a file over {MAX_FILE_BYTES} bytes")),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(format!("names a file that cannot be read: {error}")),
    }
}
