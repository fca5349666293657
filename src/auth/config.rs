//! The `[auth]` section and its `[auth.forward]`, `[[auth.api_key]]` and `[[auth.issuer]]` tables as they are written.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::setting::{Secret, Span};

/// `[auth]`: where tokens are looked for and what everybody is granted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    /// Query parameters that may carry a token, in the order in which they are looked for.
    pub query: Vec<String>,
    /// Name of the cookie that may carry a token; empty for none.
    pub cookie: String,
    /// Whether a request without a token gets a stream of the public channels.
    pub anonymous: bool,
    /// Channel patterns that everybody is granted, anonymous subscribers included.
    pub public_channels: Vec<String>,
    /// Channel patterns with `{claim:/pointer}`, granted to each token whose claims fill them.
    pub grants: Vec<String>,
    /// A longer token is refused unread.
    pub max_token_bytes: ByteSize,
    /// How often keys are fetched anew; jittered by a tenth.
    pub keys_refresh: Span,
    /// Between two fetches from one issuer that tokens with an unknown `kid` cause.
    pub keys_cooldown: Span,
    /// One fetch, discovery included.
    pub keys_timeout: Span,
    /// How long a request waits for a fetch that its token has caused.
    pub keys_wait: Span,
    /// Of an answer.
    pub keys_max_bytes: ByteSize,
    /// How often key files are looked at for changes.
    pub keys_reread: Span,
    /// The header that carries a key of a machine; not looked at when there is no such key.
    pub api_key_header: String,
    pub api_key: Vec<ApiKeyConfig>,
    pub forward: ForwardConfig,
    pub issuer: Vec<IssuerConfig>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            query: vec!["token".into(), "access_token".into()],
            cookie: String::new(),
            anonymous: false,
            public_channels: Vec::new(),
            grants: Vec::new(),
            max_token_bytes: ByteSize::kib(8),
            keys_refresh: Span::from_secs(15 * 60),
            keys_cooldown: Span::from_secs(30),
            keys_timeout: Span::from_secs(5),
            keys_wait: Span::from_secs(2),
            keys_max_bytes: ByteSize::kib(256),
            keys_reread: Span::from_secs(10),
            api_key_header: "X-Api-Key".into(),
            api_key: Vec::new(),
            forward: ForwardConfig::default(),
            issuer: Vec::new(),
        }
    }
}

/// `[auth.forward]`: the application as the one who knows a request's session, for requests without a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ForwardConfig {
    /// Where it is asked; without it nobody is.
    pub url: Option<String>,
    /// PEM: the authorities that its certificate may be of, in place of the system's.
    pub ca_file: Option<String>,
    /// Where a 200 answer names the user: a header, or a JSON pointer into the body.
    pub user: String,
    /// Where it lists the channel grants, likewise.
    pub channels: String,
    /// For one answer, waiting for a free place included.
    pub timeout: Span,
    /// How long a session that the application knows is not asked about again.
    pub cache: Span,
    /// Sessions that are remembered at once.
    pub max_cached: usize,
    /// Questions that are open at once; further requests wait.
    pub max_asking: usize,
    /// How often the application is asked again about the session of an open stream; 0 for never.
    pub recheck: Span,
    /// After so many failures in a row the application is left alone …
    pub breaker_failures: u32,
    /// … for this time.
    pub breaker_pause: Span,
}

impl Default for ForwardConfig {
    fn default() -> Self {
        Self {
            url: None,
            ca_file: None,
            user: "X-User".into(),
            channels: "X-Channels".into(),
            timeout: Span::from_secs(3),
            cache: Span::from_secs(10),
            max_cached: 10_000,
            max_asking: 64,
            recheck: Span::from_secs(60),
            breaker_failures: 5,
            breaker_pause: Span::from_secs(5),
        }
    }
}

/// `[[auth.api_key]]`: a machine that listens, known by a key that is written down nowhere but with the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiKeyConfig {
    /// Whose key it is.
    pub name: String,
    /// The key's SHA-256 in hexadecimal.
    pub sha256: String,
    /// The user whose events the machine gets besides its channels'.
    pub user: Option<String>,
    /// Channels granted by name or pattern.
    pub channels: Vec<String>,
}

/// `[[auth.issuer]]`: one source of tokens, its keys and what its tokens must say.
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IssuerConfig {
    /// JWS algorithms (RFC 7518 §3.1, RFC 8037) that this issuer's keys verify; a token never chooses beyond them. Every one
    /// of a public key when it is empty and the keys are fetched.
    pub algorithms: Vec<String>,
    pub secret: Option<Secret>,
    pub secret_file: Option<String>,
    /// Whether the secret is written in base64 (RFC 4648 §4 or §5, padded or not).
    pub secret_base64: bool,
    /// PEM: `SubjectPublicKeyInfo`, PKCS#1 or a certificate.
    pub public_key_file: Option<String>,
    /// A JWK set (RFC 7517 §5).
    pub jwks_file: Option<String>,
    /// Where the issuer publishes its JWK set.
    pub jwks_url: Option<String>,
    /// Whether the address of the JWK set is learned from `issuer` (OpenID Connect Discovery 1.0 §4).
    pub discovery: bool,
    /// Whether keys may be fetched without TLS from elsewhere than loopback.
    pub allow_http: bool,
    /// PEM: the authorities that the issuer's certificate may be of, in place of the system's.
    pub ca_file: Option<String>,
    /// Required `iss`; not checked when empty.
    pub issuer: String,
    /// `aud` must hold one of these; not checked when empty.
    pub audience: Vec<String>,
    /// JSON pointer to the user id, a string or an integer.
    pub user_claim: String,
    /// JSON pointer to the channel grants, a list or a space-separated string.
    pub channels_claim: String,
    pub require_exp: bool,
    /// Allowed difference of clocks when `exp` and `nbf` are checked.
    pub leeway: Span,
}

impl Default for IssuerConfig {
    fn default() -> Self {
        Self {
            algorithms: Vec::new(),
            secret: None,
            secret_file: None,
            secret_base64: false,
            public_key_file: None,
            jwks_file: None,
            jwks_url: None,
            discovery: false,
            allow_http: false,
            ca_file: None,
            issuer: String::new(),
            audience: Vec::new(),
            user_claim: "/sub".into(),
            channels_claim: "/channels".into(),
            require_exp: true,
            leeway: Span::from_secs(30),
        }
    }
}
