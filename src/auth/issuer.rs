//! One `[[auth.issuer]]` made ready: its keys as they are now, and the choice among them for a token; it fetches nothing.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jsonwebtoken::Algorithm;

use super::claims::ClaimRules;
use super::keys::{Key, Unusable};
use super::object::is_pointer;
use super::source::Source;
use super::token::UnverifiedToken;
use super::{AuthError, IssuerConfig};
use crate::setting::{Fault, Secret};

/// A longer leeway is no difference of clocks any more.
const MAX_LEEWAY: Duration = Duration::from_secs(3600);
/// Keys of one issuer that a token without a `kid` is tried against.
const MAX_TRIES: usize = 16;

/// What the keys of a remote issuer verify when the configuration does not say: every algorithm of a public key. Which of them
/// a key verifies follows from its type, and from its `alg` if it has one.
const PUBLIC_ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// A source of tokens: its keys and the rules for its claims.
pub(super) struct Issuer {
    source: Source,
    secret_base64: bool,
    algorithms: Vec<Algorithm>,
    /// Read for each token by every thread and replaced as a whole; none before a remote issuer has answered.
    keys: ArcSwapOption<Vec<Key>>,
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
        let source = Source::of(config, at);
        let algorithms = algorithms(config, source.as_ref().is_ok_and(|source| source.is_remote()), at, faults);
        let source = source.map_err(|fault| faults.push(fault)).ok();
        // Without an algorithm there is nothing to bind a key to, and that fault is known already.
        let source = source.filter(|_| !algorithms.is_empty())?;
        let rules = ClaimRules::new(config);
        let issuer = Self {
            source,
            secret_base64: config.secret_base64,
            algorithms,
            keys: ArcSwapOption::empty(),
            rules,
            fingerprint: fingerprint(config),
        };
        let read = source.contents(config).and_then(|contents| contents.map_or(Ok(()), |found| issuer.replace(&found)));
        if let Err(problem) = read {
            faults.push(Fault::new(format!("{at}.{}", source.name()), problem.to_string()));
        }
        (faults.len() == before).then_some(issuer)
    }

    /// Takes the keys in what was read from their source; on an error those from before stay.
    pub(super) fn replace(&self, contents: &[u8]) -> Result<(), Unusable> {
        let keys = self.source.keys(contents, self.secret_base64, &self.algorithms)?;
        self.keys.store(Some(Arc::new(keys)));
        Ok(())
    }

    /// Takes over the keys that were fetched for `former`, if it is this very issuer.
    pub(super) fn inherit(&self, former: &Self) {
        let is_same = self.fingerprint == former.fingerprint && self.algorithms == former.algorithms;
        if is_same && self.source.is_remote() {
            self.keys.store(former.keys.load_full());
        }
    }

    /// Whether one of this issuer's keys has signed `token`.
    ///
    /// A key with the token's `kid` comes first, then keys without one; a token without a `kid` is tried against all whose
    /// algorithm fits, up to a limit.
    pub(super) fn verify(&self, token: &UnverifiedToken<'_>) -> Result<(), AuthError> {
        if !self.algorithms.contains(&token.algorithm) {
            return Err(AuthError::AlgorithmRefused);
        }
        let keys = self.keys.load();
        let keys = keys.as_deref().ok_or(AuthError::KeysUnavailable)?;
        let fitting = || keys.iter().filter(|key| key.verifies(token.algorithm));
        let kid = token.kid.as_deref();
        if fitting().next().is_none() && (kid.is_none() || !self.source.is_remote()) {
            return Err(AuthError::AlgorithmRefused);
        }
        let named = fitting().filter(|key| kid.is_none() || key.kid() == kid);
        let nameless = fitting().filter(|key| kid.is_some() && key.kid().is_none());
        let mut tried = named.chain(nameless).take(MAX_TRIES).peekable();
        if tried.peek().is_none() {
            return Err(AuthError::KeyUnknown);
        }
        if tried.any(|key| key.has_signed(token.algorithm, token.signed.as_bytes(), token.signature)) {
            Ok(())
        } else {
            Err(AuthError::SignatureInvalid)
        }
    }

    /// Whether a newer set of this issuer's keys may have the one that `token` names.
    pub(super) fn may_have_newer(&self, token: &UnverifiedToken<'_>) -> bool {
        let kid = token.kid.as_deref();
        self.source.is_remote()
            && self.algorithms.contains(&token.algorithm)
            && self.keys.load().as_deref().is_none_or(|keys| {
                kid.is_some() && !keys.iter().any(|key| key.kid() == kid && key.verifies(token.algorithm))
            })
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
        jwks_url,
        discovery,
        issuer,
        algorithms: _,
        audience: _,
        user_claim: _,
        channels_claim: _,
        require_exp: _,
        leeway: _,
        allow_http: _,
        ca_file: _,
    } = config;
    let mut hasher = DefaultHasher::new();
    (secret.as_ref().map(Secret::expose), secret_file, secret_base64, public_key_file, jwks_file).hash(&mut hasher);
    (jwks_url, discovery, issuer).hash(&mut hasher);
    hasher.finish()
}

fn algorithms(config: &IssuerConfig, is_remote: bool, at: &str, faults: &mut Vec<Fault>) -> Vec<Algorithm> {
    if config.algorithms.is_empty() && is_remote {
        return PUBLIC_ALGORITHMS.to_vec();
    }
    if config.algorithms.is_empty() {
        faults
            .push(Fault::new(format!("{at}.algorithms"), "must name the algorithms of this issuer, such as \"RS256\""));
    }
    let mut known = Vec::new();
    for (index, name) in config.algorithms.iter().enumerate() {
        match Algorithm::from_str(name) {
            Ok(algorithm) if is_remote && !PUBLIC_ALGORITHMS.contains(&algorithm) => faults.push(Fault::new(
                format!("{at}.algorithms.{index}"),
                "is for a shared secret, which nobody fetches from a URL",
            )),
            Ok(algorithm) => known.push(algorithm),
            Err(_) => faults.push(Fault::new(
                format!("{at}.algorithms.{index}"),
                "must be one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA",
            )),
        }
    }
    known
}
