//! From credentials to an identity: the issuers, the public grants and the templates; no sockets and no clock.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{AUTHORIZATION, COOKIE, HeaderName};

use super::api_key::ApiKeys;
use super::credentials::{Credentials, Source};
use super::grants::{Grants, MAX_GRANT_BYTES, PublicGrants};
use super::identity::Identity;
use super::issuer::Issuer;
use super::object::Object;
use super::proof::{Proof, SessionWord, TokenProof};
use super::revocation::Revocations;
use super::template::Template;
use super::token::UnverifiedToken;
use super::{AuthConfig, AuthError, MAX_USER_BYTES, Unusable};
use crate::event::UserId;
use crate::setting::Fault;

/// How long claims are supposed to hold that do not say it.
const SUPPOSED_LIFETIME: Duration = Duration::from_secs(3600);

/// Everything that decides who a request is. Threads share one behind an `Arc`; nothing in it changes but the issuers' keys.
pub struct Authenticator {
    issuers: Vec<Issuer>,
    api_keys: ApiKeys,
    public: PublicGrants,
    templates: Vec<Template>,
    anonymous: bool,
    /// Whether the application is asked about sessions.
    knows_sessions: bool,
    max_token_bytes: u64,
    revocations: Arc<Revocations>,
}

impl Authenticator {
    /// Reads the key files and checks every setting; on failure all faults at once, none of which quotes a key.
    pub fn load(config: &AuthConfig) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        check_places(config, &mut faults);
        for (index, channel) in config.public_channels.iter().enumerate() {
            if channel.is_empty() || channel.len() > MAX_GRANT_BYTES {
                let problem = format!("must be a channel or pattern of 1 to {MAX_GRANT_BYTES} bytes");
                faults.push(Fault::new(format!("auth.public_channels.{index}"), problem));
            }
        }
        let mut templates = Vec::new();
        for (index, text) in config.grants.iter().enumerate() {
            match Template::parse(text) {
                Ok(template) => templates.push(template),
                Err(problem) => faults.push(Fault::new(format!("auth.grants.{index}"), problem)),
            }
        }
        let mut issuers = Vec::new();
        for (index, issuer) in config.issuer.iter().enumerate() {
            issuers.extend(Issuer::load(issuer, &format!("auth.issuer.{index}"), &mut faults));
        }
        let public = PublicGrants::new(&config.public_channels);
        let api_keys = ApiKeys::load(&config.api_key, &public, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            issuers,
            api_keys,
            public,
            templates,
            anonymous: config.anonymous,
            knows_sessions: config.forward.url.is_some(),
            max_token_bytes: config.max_token_bytes.as_u64(),
            revocations: Arc::new(Revocations::new(0)),
        })
    }

    /// Refuses what `revocations` cover as well.
    #[must_use]
    pub fn revoking(self, revocations: Arc<Revocations>) -> Self {
        Self { revocations, ..self }
    }

    /// Who the bearer of `credentials` is at `now`; without credentials the anonymous subscriber, where there may be one.
    ///
    /// A token that is not accepted is refused even where anonymous subscribers are welcome: its bearer believes to be
    /// somebody.
    pub fn authenticate(&self, credentials: Option<&Credentials>, now: SystemTime) -> Result<Identity, AuthError> {
        let Some(credentials) = credentials else {
            return self.anonymous();
        };
        if credentials.source() == Source::ApiKey {
            return self.api_keys.identify(credentials.token());
        }
        let token = UnverifiedToken::parse(credentials.token(), self.max_token_bytes)?;
        let claims = token.claims()?;
        let issuer = self.verify(&token, &claims)?;
        let proof = TokenProof::new(issuer.fingerprint, token.claims_json(), &claims, &self.revocations);
        self.judge(issuer, &claims, Proof::Token(Arc::new(proof)), now)
    }

    /// Who the bearer of a token with these claims would be, if somebody had signed it: for explanations, never for a
    /// request. Claims that do not say when they expire hold for an hour.
    pub fn suppose(&self, claims: &str, now: SystemTime) -> Result<Identity, AuthError> {
        let mut object = Object::parse(claims.as_bytes()).ok_or(AuthError::TokenMalformed)?;
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        object.or_insert("exp", since_epoch.saturating_add(SUPPOSED_LIFETIME).as_secs().into());
        let mut refusal = AuthError::IssuerRefused;
        for (_, issuer) in self.asked(&object) {
            let proof = TokenProof::new(issuer.fingerprint, claims.into(), &object, &self.revocations);
            match self.judge(issuer, &object, Proof::Token(Arc::new(proof)), now) {
                Ok(identity) => return Ok(identity),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// What the bearer of the key with this name in the configuration may hear; `None` if there is no such key.
    #[must_use]
    pub fn of_api_key(&self, name: &str) -> Option<Identity> {
        self.api_keys.named(name)
    }

    /// Who an identity is by now, which may be another authenticator's: what it grants may have changed, and it may count
    /// no more. A signature that was verified once is not verified again.
    pub fn reconsider(&self, identity: &Identity, now: SystemTime) -> Result<Identity, AuthError> {
        match &identity.proof {
            Proof::Nothing => self.anonymous(),
            Proof::ApiKey(hash) => self.api_keys.of_hash(hash),
            Proof::Session(_) if !self.knows_sessions => Err(AuthError::SessionRefused),
            Proof::Session(word) => self.of_session(word.user.clone(), word.channels.clone()),
            Proof::Token(token) => {
                let claims = Object::parse(&token.claims).ok_or(AuthError::TokenMalformed)?;
                let issuer = self.issuers.iter().find(|issuer| issuer.fingerprint == token.issuer);
                let issuer = issuer.ok_or(AuthError::IssuerRefused)?;
                self.judge(issuer, &claims, identity.proof.clone(), now)
            }
        }
    }

    /// Who the application says that a session is; nobody in particular only where anonymous subscribers are welcome, or
    /// where it is granted channels.
    pub fn of_session(&self, user: Option<String>, channels: Vec<String>) -> Result<Identity, AuthError> {
        if user.is_none() && channels.is_empty() && !self.anonymous {
            return Err(AuthError::SessionRefused);
        }
        if user.as_ref().is_some_and(|user| user.is_empty() || user.len() > MAX_USER_BYTES) {
            return Err(AuthError::UserInvalid);
        }
        let grants = Grants::with(&self.public, channels.clone())?;
        let proof = Proof::Session(Arc::new(SessionWord { user: user.clone(), channels }));
        Ok(Identity { user: user.map(UserId::from), grants, expires: None, proof })
    }

    fn anonymous(&self) -> Result<Identity, AuthError> {
        let grants = Grants::public(&self.public);
        let anonymous = Identity { user: None, grants, expires: None, proof: Proof::Nothing };
        if self.anonymous { Ok(anonymous) } else { Err(AuthError::Missing) }
    }

    /// What claims come to that `issuer` has signed.
    fn judge(&self, issuer: &Issuer, claims: &Object, proof: Proof, now: SystemTime) -> Result<Identity, AuthError> {
        let expires = issuer.rules.check(claims, now)?;
        if self.revocations.cover(proof.ids(), now) {
            return Err(AuthError::Revoked);
        }
        let user = issuer.rules.user(claims)?;
        let mut channels = issuer.rules.channels(claims)?;
        for template in &self.templates {
            channels.extend(template.fill(claims)?);
        }
        Ok(Identity { user, grants: Grants::with(&self.public, channels)?, expires, proof })
    }

    /// Takes the keys of the issuer with this number in the configuration from what was read where they come from: a key
    /// file, or the JWK set at a URL.
    ///
    /// # Errors
    /// When there is no usable key in it; then the keys from before stay.
    pub fn replace_keys(&self, issuer: usize, contents: &[u8]) -> Result<(), Unusable> {
        self.issuers.get(issuer).map_or(Ok(()), |issuer| issuer.replace(contents))
    }

    /// Begins with the keys that `former` has fetched of issuers that are still the same: one may be away just when the
    /// configuration changes. Nothing is to verify with this one before.
    pub fn inherit(&self, former: &Self) {
        for issuer in &self.issuers {
            former.issuers.iter().for_each(|before| issuer.inherit(before));
        }
    }

    /// The issuers, by their number in the configuration, whose keys are fetched and do not hold the one that `credentials`
    /// name: a newer set of theirs may.
    #[must_use]
    pub fn with_newer_keys(&self, credentials: &Credentials) -> Vec<usize> {
        let Ok(token) = UnverifiedToken::parse(credentials.token(), self.max_token_bytes) else { return Vec::new() };
        let Ok(claims) = token.claims() else { return Vec::new() };
        let asked = self.asked(&claims).filter(|(_, issuer)| issuer.may_have_newer(&token));
        asked.map(|(number, _)| number).collect()
    }

    /// Whom an unverified token's claims say to ask: the issuers that require just its `iss`, or, when there are none, those
    /// that require none.
    fn asked(&self, claims: &Object) -> impl Iterator<Item = (usize, &Issuer)> {
        let iss = claims.get("iss").and_then(|iss| iss.as_str());
        let named = iss.filter(|iss| self.issuers.iter().any(|issuer| issuer.rules.required_issuer() == Some(iss)));
        let named = named.map(str::to_owned);
        self.issuers.iter().enumerate().filter(move |(_, issuer)| issuer.rules.required_issuer() == named.as_deref())
    }

    /// The issuer whose key has signed `token`.
    fn verify(&self, token: &UnverifiedToken<'_>, claims: &Object) -> Result<&Issuer, AuthError> {
        let mut refusal = AuthError::IssuerRefused;
        for (_, issuer) in self.asked(claims) {
            match issuer.verify(token) {
                Ok(()) => return Ok(issuer),
                // Whoever's keys are not here might have accepted it.
                Err(AuthError::KeysUnavailable) => refusal = AuthError::KeysUnavailable,
                // The refusal of whoever came furthest is the one to tell.
                Err(_) if matches!(refusal, AuthError::SignatureInvalid | AuthError::KeysUnavailable) => {}
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }
}

/// Names that no request could carry.
fn check_places(config: &AuthConfig, faults: &mut Vec<Fault>) {
    for (index, name) in config.query.iter().enumerate() {
        if name.is_empty() {
            faults.push(Fault::new(format!("auth.query.{index}"), "must not be empty"));
        }
    }
    let separator = |c: char| !c.is_ascii_graphic() || "()<>@,;:\\\"/[]?={}".contains(c);
    if config.cookie.contains(separator) {
        faults.push(Fault::new("auth.cookie", "must be a cookie name, a token of RFC 9110 §5.6.2"));
    }
    let header = config.api_key_header.parse::<HeaderName>();
    if header.is_err() || header.is_ok_and(|name| [AUTHORIZATION, COOKIE].contains(&name)) {
        faults.push(Fault::new(
            "auth.api_key_header",
            "must be the name of a header other than Authorization and Cookie",
        ));
    }
}
