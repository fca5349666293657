//! Keys of machines: known by their SHA-256 only, each with a user and channels of its own; where a key sits in a request is not known here.

use std::fmt::Write;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

use super::claims::MAX_USER_BYTES;
use super::grants::{Grants, MAX_GRANT_BYTES, MAX_GRANTS, PublicGrants};
use super::identity::Identity;
use super::proof::Proof;
use super::{ApiKeyConfig, AuthError};
use crate::event::UserId;
use crate::setting::Fault;

const HASH_BYTES: usize = 32;
/// What a shell gives that was handed no key: the hashes of nothing and of an empty line.
const HASHES_OF_NOTHING: [&str; 2] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b",
];

/// Every `[[auth.api_key]]`.
#[derive(Debug, Default)]
pub(super) struct ApiKeys(Vec<ApiKey>);

#[derive(Debug)]
struct ApiKey {
    name: String,
    hash: [u8; HASH_BYTES],
    identity: Identity,
}

impl ApiKeys {
    /// Checks every table; each fault is added to `faults`, and none quotes a hash.
    pub(super) fn load(configs: &[ApiKeyConfig], public: &PublicGrants, faults: &mut Vec<Fault>) -> Self {
        let mut keys: Vec<ApiKey> = Vec::new();
        for (index, config) in configs.iter().enumerate() {
            let mut fault = |setting: &str, problem: String| {
                faults.push(Fault::new(format!("auth.api_key.{index}.{setting}"), problem));
            };
            if config.name.is_empty() || config.name.chars().any(char::is_control) {
                fault("name", "must say whose key it is".into());
            }
            if configs[..index].iter().any(|earlier| earlier.name == config.name) {
                fault("name", "is the name of an earlier key as well".into());
            }
            if config.user.as_ref().is_some_and(|user| user.is_empty() || user.len() > MAX_USER_BYTES) {
                fault("user", format!("must be 1 to {MAX_USER_BYTES} bytes long"));
            }
            if config.channels.len() > MAX_GRANTS {
                fault("channels", format!("must be at most {MAX_GRANTS}"));
            }
            for (place, channel) in config.channels.iter().enumerate() {
                if channel.is_empty() || channel.len() > MAX_GRANT_BYTES {
                    let problem = format!("must be a channel or pattern of 1 to {MAX_GRANT_BYTES} bytes");
                    fault(&format!("channels.{place}"), problem);
                }
            }
            let hash = match hash(&config.sha256) {
                Ok(hash) if keys.iter().any(|earlier| earlier.hash == hash) => {
                    fault("sha256", "is the hash of an earlier key as well".into());
                    continue;
                }
                Ok(hash) => hash,
                Err(problem) => {
                    fault("sha256", problem.into());
                    continue;
                }
            };
            let Ok(grants) = Grants::with(public, config.channels.clone()) else { continue };
            let user = config.user.as_deref().map(UserId::from);
            let proof = Proof::ApiKey(Arc::new(hash));
            keys.push(ApiKey {
                name: config.name.clone(),
                hash,
                identity: Identity { user, grants, expires: None, proof },
            });
        }
        Self(keys)
    }

    /// Whose key this is. Every hash is compared, each in constant time, so that the time tells nothing of any of them.
    pub(super) fn identify(&self, key: &str) -> Result<Identity, AuthError> {
        let presented = digest(&SHA256, key.as_bytes());
        let mut found = None;
        for key in &self.0 {
            if verify_slices_are_equal(presented.as_ref(), &key.hash).is_ok() {
                found = Some(&key.identity);
            }
        }
        found.cloned().ok_or(AuthError::ApiKeyUnknown)
    }

    /// Whose key has this hash now.
    pub(super) fn of_hash(&self, hash: &[u8; HASH_BYTES]) -> Result<Identity, AuthError> {
        let key = self.0.iter().find(|key| key.hash == *hash);
        key.map(|key| key.identity.clone()).ok_or(AuthError::ApiKeyUnknown)
    }

    pub(super) fn named(&self, name: &str) -> Option<Identity> {
        self.0.iter().find(|key| key.name == name).map(|key| key.identity.clone())
    }
}

/// What `sha256` says of a key.
#[must_use]
pub fn api_key_hash(key: &str) -> String {
    digest(&SHA256, key.as_bytes()).as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes any text");
        hex
    })
}

/// A SHA-256 in hexadecimal, or a clause that says what is wrong with it.
fn hash(hex: &str) -> Result<[u8; HASH_BYTES], &'static str> {
    let shape = "must be the SHA-256 of a key, 64 hexadecimal digits (`printf %s KEY | sha256sum`)";
    let digit = |digit: char| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Vec<u8> = hex.chars().map(digit).collect::<Option<_>>().ok_or(shape)?;
    if HASHES_OF_NOTHING.iter().any(|nothing| nothing.eq_ignore_ascii_case(hex)) {
        return Err("is the hash of an empty key");
    }
    if digits.windows(2).all(|pair| pair[0] == pair[1]) {
        return Err("is no hash of a key: all its digits are the same");
    }
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    <[u8; HASH_BYTES]>::try_from(bytes).ok().filter(|_| digits.len() == 2 * HASH_BYTES).ok_or(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf %s correct-horse-battery-staple | sha256sum`
    const HASH: &str = "87cbebfeebc05f7c54ac9336c4b4bbec831227a641951a4bde7edd56020f8590";

    fn config(name: &str, sha256: &str) -> ApiKeyConfig {
        let channels = vec!["news".into(), "team.#".into()];
        ApiKeyConfig { name: name.into(), sha256: sha256.into(), user: Some("robot".into()), channels }
    }

    fn faults(configs: &[ApiKeyConfig]) -> Vec<String> {
        let mut faults = Vec::new();
        ApiKeys::load(configs, &PublicGrants::default(), &mut faults);
        faults.into_iter().map(|fault| fault.key).collect()
    }

    #[test]
    fn a_key_is_known_by_its_hash_and_gives_what_is_configured() {
        let other = ApiKeyConfig { user: None, ..config("other", &HASH.replace('c', "d")) };
        for hex in [HASH.to_owned(), HASH.to_uppercase()] {
            assert_eq!(api_key_hash("correct-horse-battery-staple"), HASH);
            let mut faults = Vec::new();
            let configs = [config("robot", &hex), other.clone()];
            let keys = ApiKeys::load(&configs, &PublicGrants::new(&["status".into()]), &mut faults);
            assert_eq!(faults, []);
            let identity = keys.identify("correct-horse-battery-staple").unwrap();
            assert_eq!((identity.user().map(UserId::as_str), identity.expires()), (Some("robot"), None));
            for (channel, covered) in [("news", true), ("team.a.b", true), ("status", true), ("secret", false)] {
                assert_eq!(identity.grants().covers(channel), covered, "{channel}");
            }
            assert_eq!((keys.named("robot"), keys.named("nobody")), (Some(identity), None));
            for wrong in ["", "correct-horse-battery-stapl", "correct-horse-battery-staple ", HASH] {
                assert_eq!(keys.identify(wrong), Err(AuthError::ApiKeyUnknown), "{wrong:?}");
            }
        }
    }

    #[test]
    fn what_is_no_hash_of_a_key_is_a_fault_that_does_not_quote_it() {
        let short = &HASH[1..];
        let odd = format!("{short}g");
        let long = format!("{HASH}00");
        for hex in
            ["", short, &odd, &long, HASHES_OF_NOTHING[0], HASHES_OF_NOTHING[1], &"0".repeat(64), &"é".repeat(32)]
        {
            assert_eq!(faults(&[config("a", hex)]), ["auth.api_key.0.sha256"], "{hex:?}");
            assert!(!hash(hex).unwrap_err().contains(short), "{hex}");
        }
    }

    #[test]
    fn names_hashes_users_and_channels_are_checked_all_at_once() {
        let configs = [
            config("a", HASH),
            config("a", HASH),
            ApiKeyConfig { user: Some(String::new()), ..config("", &HASH.replace('b', "a")) },
            ApiKeyConfig { channels: vec!["x".into(), String::new()], ..config("c", &HASH.replace('b', "d")) },
            ApiKeyConfig { channels: vec!["x".into(); MAX_GRANTS + 1], ..config("d", &HASH.replace('b', "e")) },
        ];
        let keys = [
            "auth.api_key.1.name",
            "auth.api_key.1.sha256",
            "auth.api_key.2.name",
            "auth.api_key.2.user",
            "auth.api_key.3.channels.1",
            "auth.api_key.4.channels",
        ];
        assert_eq!(faults(&configs), keys);
    }
}
