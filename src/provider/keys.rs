//! The keys of all issuers kept current, and the second look at a token whose key was not there; verification itself is the auth room's.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::address::Address;
use super::client::Client;
use super::files::{self, KeyFile};
use super::refresh::Refresh;
use crate::auth::{AuthConfig, AuthError, Authenticator, Credentials, Identity};
use crate::setting::Fault;

/// Where the keys of all issuers come from, made ready; nobody is asked yet.
#[derive(Debug)]
pub struct KeySources {
    remote: Vec<(usize, Address, Client)>,
    files: Vec<KeyFile>,
    config: AuthConfig,
}

impl KeySources {
    /// # Errors
    /// Every fault of an address or of a file of authorities.
    pub fn new(config: &AuthConfig) -> Result<Self, Vec<Fault>> {
        let (mut remote, mut files, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        for (number, issuer) in config.issuer.iter().enumerate() {
            let at = format!("auth.issuer.{number}");
            if let Some(path) = issuer.key_file() {
                files.push(KeyFile { issuer: number, path: path.into(), seen: None });
            }
            let address = match Address::of(issuer, &at) {
                Ok(Some(address)) => address,
                Ok(None) => continue,
                Err(fault) => {
                    faults.push(fault);
                    continue;
                }
            };
            match Client::new(issuer.ca_file.as_deref()) {
                Ok(client) => remote.push((number, address, client)),
                Err(distrust) => faults.push(Fault::new(format!("{at}.ca_file"), distrust.to_string())),
            }
        }
        if faults.is_empty() { Ok(Self { remote, files, config: config.clone() }) } else { Err(faults) }
    }

    /// Joins the sources to what was loaded from the same configuration.
    #[must_use]
    pub fn keep(self, authenticator: Authenticator) -> Keys {
        let Self { remote, files, config } = self;
        let authenticator = Arc::new(authenticator);
        let refresh = |(issuer, address, client)| {
            (issuer, Arc::new(Refresh::new(Arc::clone(&authenticator), issuer, address, client, &config)))
        };
        let remote = remote.into_iter().map(refresh).collect();
        Keys { authenticator, remote, files, reread: config.keys_reread.0, wait: config.keys_wait.0 }
    }
}

/// What keeps the keys of an [`Authenticator`] current. Threads share one behind an `Arc`.
pub struct Keys {
    authenticator: Arc<Authenticator>,
    remote: Vec<(usize, Arc<Refresh>)>,
    files: Vec<KeyFile>,
    reread: Duration,
    wait: Duration,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("remote", &self.remote.len()).field("files", &self.files).finish_non_exhaustive()
    }
}

impl Keys {
    /// What the keys are for, which always verifies with those that are here.
    #[must_use]
    pub fn authenticator(&self) -> Arc<Authenticator> {
        Arc::clone(&self.authenticator)
    }

    /// Starts what fetches and reads again, in the runtime of the caller; the tasks end when they are aborted.
    #[must_use]
    pub fn start(&self) -> Vec<JoinHandle<()>> {
        let fetch = |(_, refresh): &(usize, Arc<Refresh>)| {
            let refresh = Arc::clone(refresh);
            tokio::spawn(async move { refresh.run().await })
        };
        let mut tasks: Vec<_> = self.remote.iter().map(fetch).collect();
        if !self.files.is_empty() {
            tasks.push(tokio::spawn(files::watch(Arc::clone(&self.authenticator), self.files.clone(), self.reread)));
        }
        tasks
    }

    /// Who the bearer of `credentials` is, by the keys that are here; see [`Authenticator::authenticate`].
    pub fn authenticate(&self, credentials: Option<&Credentials>, now: SystemTime) -> Result<Identity, AuthError> {
        self.authenticator.authenticate(credentials, now)
    }

    /// What becomes of credentials that [`Keys::authenticate`] has refused: where a newer set of keys may hold theirs, it is
    /// fetched, unless it was just now, and they are looked at once more. Takes at most `auth.keys_wait`.
    ///
    /// # Errors
    /// The refusal; [`AuthError::KeysUnavailable`] where an issuer did not answer, so that nobody can say whether the key is good.
    pub async fn second_look(&self, credentials: &Credentials, refusal: AuthError) -> Result<Identity, AuthError> {
        if !matches!(refusal, AuthError::KeyUnknown | AuthError::KeysUnavailable | AuthError::SignatureInvalid) {
            return Err(refusal);
        }
        let issuers = self.authenticator.with_newer_keys(credentials);
        let asked = self.remote.iter().filter(|(number, _)| issuers.contains(number));
        let renewed = join_all(asked.map(|(_, refresh)| refresh.renewed(self.wait))).await;
        if renewed.is_empty() {
            // A key that it was refused for want of may have come since, with another one's token or on schedule.
            let is_settled = refusal == AuthError::SignatureInvalid;
            return if is_settled { Err(refusal) } else { self.authenticate(Some(credentials), SystemTime::now()) };
        }
        let all_new = renewed.into_iter().all(|is_new| is_new);
        self.authenticate(Some(credentials), SystemTime::now()).map_err(|refusal| {
            let undecided = matches!(refusal, AuthError::KeyUnknown | AuthError::SignatureInvalid) && !all_new;
            if undecided { AuthError::KeysUnavailable } else { refusal }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{IssuerConfig, Source};
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    #[tokio::test]
    async fn a_key_that_came_just_after_a_token_was_refused_for_want_of_it_counts() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!("{}.{}", part(br#"{"alg":"EdDSA","kid":"new"}"#), part(br#"{"exp":99999999999}"#));
        let token = format!("{signed}.{}", part(pair.sign(signed.as_bytes()).as_ref()));
        let credentials = Credentials::new(token, Source::Header);
        let issuer = IssuerConfig { jwks_url: Some("http://127.0.0.1:1/keys".into()), ..IssuerConfig::default() };
        let config = AuthConfig { issuer: vec![issuer], ..AuthConfig::default() };
        let keys = KeySources::new(&config).unwrap().keep(Authenticator::load(&config).unwrap());
        let key = part(pair.public_key().as_ref());
        let set = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"new","x":"{key}"}}]}}"#);
        keys.authenticator().replace_keys(0, set.as_bytes()).unwrap();
        for refusal in [AuthError::KeyUnknown, AuthError::KeysUnavailable] {
            assert!(keys.second_look(&credentials, refusal).await.is_ok(), "{refusal}");
        }
        assert_eq!(keys.second_look(&credentials, AuthError::Expired).await, Err(AuthError::Expired));
    }
}
