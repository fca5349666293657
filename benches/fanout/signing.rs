//! The tokens of the streams: which algorithm signs them, with keys made for this run, and what a server must know to verify them.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{LazyLock, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::failure::Failure;

/// HS256 secret of the tokens, 32 bytes as RFC 7518 §3.2 asks.
const SECRET: &str = "a-secret-that-only-the-bench-has";

/// A JWS algorithm (RFC 7518 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signing {
    Hs256,
    Rs256,
    Es256,
}

/// What verifies the tokens, as it is handed to a server process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    Secret(String),
    /// `SubjectPublicKeyInfo`, DER.
    Public(Signing, Vec<u8>),
}

struct Pairs {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
}

static PAIRS: LazyLock<Pairs> = LazyLock::new(|| Pairs {
    rsa: RsaKeyPair::generate(rsa::KeySize::Rsa2048).expect("the library makes such keys"),
    ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("the library makes such keys"),
});

/// Tokens that were signed before: with RSA that takes longer than what is measured.
static TOKENS: LazyLock<Mutex<HashMap<(Signing, String), String>>> = LazyLock::new(Mutex::default);

impl Signing {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }

    pub fn key(self) -> Result<Key, Failure> {
        let der = match self {
            Self::Hs256 => return Ok(Key::Secret(SECRET.into())),
            Self::Rs256 => PAIRS.rsa.public_key().as_der(),
            Self::Es256 => PAIRS.ec.public_key().as_der(),
        };
        Ok(Key::Public(self, der.map_err(|_| Failure::Signing)?.as_ref().to_vec()))
    }

    /// A token of `user` for the benchmark's channels, good for an hour from when it was first asked for.
    pub fn token(self, user: &str) -> Result<String, Failure> {
        let mut tokens = TOKENS.lock().expect("no thread panics while it holds this");
        if let Some(token) = tokens.get(&(self, user.to_owned())) {
            return Ok(token.clone());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let header = json!({ "typ": "JWT", "alg": self.as_str() });
        let claims = json!({ "sub": user, "channels": ["bench.#"], "exp": now + 3600 });
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes())?));
        tokens.insert((self, user.to_owned()), token.clone());
        Ok(token)
    }

    fn sign(self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let random = SystemRandom::new();
        match self {
            Self::Hs256 => {
                Ok(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), message).as_ref().to_vec())
            }
            Self::Rs256 => {
                let mut signature = vec![0; PAIRS.rsa.public_modulus_len()];
                PAIRS.rsa.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(|_| Failure::Signing)?;
                Ok(signature)
            }
            Self::Es256 => {
                let signature = PAIRS.ec.sign(&random, message).map_err(|_| Failure::Signing)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

impl Key {
    pub fn signing(&self) -> Signing {
        match self {
            Self::Secret(_) => Signing::Hs256,
            Self::Public(signing, _) => *signing,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(secret) => write!(f, "{}:{secret}", Signing::Hs256.as_str()),
            Self::Public(signing, der) => write!(f, "{}:{}", signing.as_str(), URL_SAFE_NO_PAD.encode(der)),
        }
    }
}

impl FromStr for Key {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let unreadable = || Failure::Protocol("no key".into());
        let (algorithm, key) = text.split_once(':').ok_or_else(unreadable)?;
        let public = |signing| {
            let der = URL_SAFE_NO_PAD.decode(key).map_err(|_| unreadable())?;
            Ok(Self::Public(signing, der))
        };
        match algorithm {
            "HS256" => Ok(Self::Secret(key.into())),
            "RS256" => public(Signing::Rs256),
            "ES256" => public(Signing::Es256),
            _ => Err(unreadable()),
        }
    }
}
