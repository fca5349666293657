//! Key files read again when their contents change, as when Kubernetes replaces a mounted secret; the formats are the auth room's.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::auth::{Authenticator, Unusable, read_key_file};
use crate::telemetry;

/// The key file of one issuer.
#[derive(Clone, Debug)]
pub(super) struct KeyFile {
    /// The issuer's number in the configuration.
    pub(super) issuer: usize,
    pub(super) path: String,
    /// What was there at the last look, as a digest since it may be a secret; none before the first.
    pub(super) seen: Option<Result<Vec<u8>, Unusable>>,
}

/// Looks at the files every `interval`, for as long as it is polled. Contents are compared and not times: a mount that is
/// replaced is a chain of links whose times say little.
pub(super) async fn watch(authenticator: Arc<Authenticator>, mut files: Vec<KeyFile>, interval: Duration) {
    loop {
        let authenticator = Arc::clone(&authenticator);
        let looked = spawn_blocking(move || {
            for file in &mut files {
                look(&authenticator, file);
            }
            files
        });
        // An error means that the runtime is at its end.
        let Ok(back) = looked.await else { return };
        files = back;
        sleep(interval).await;
    }
}

/// Takes the keys of a file that is not as it was; one that cannot be used changes nothing and is told of once.
fn look(authenticator: &Authenticator, file: &mut KeyFile) {
    let contents = read_key_file(&file.path);
    let found = match &contents {
        Ok(contents) => Ok(digest(&SHA256, contents).as_ref().to_vec()),
        Err(error) => Err(error.clone()),
    };
    if file.seen.as_ref() == Some(&found) {
        return;
    }
    let is_first = file.seen.replace(found).is_none();
    match contents.and_then(|contents| authenticator.replace_keys(file.issuer, &contents)) {
        Ok(()) if is_first => {}
        Ok(()) => {
            telemetry::auth::keys_refreshed("ok");
            tracing::info!(file = file.path, "a key file has changed, and its keys are in use");
        }
        Err(error) => {
            telemetry::auth::keys_refreshed("keys_invalid");
            tracing::warn!(file = file.path, %error, "a key file has changed for the worse; its keys from before stay in use");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{AuthConfig, AuthError, Credentials, IssuerConfig, Source};
    use std::time::SystemTime;

    /// RFC 7515 §A.1, which expired in 2011: a known key refuses it for its time, an unknown one for its signature.
    const TOKEN: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const SECRET: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";

    #[test]
    fn a_changed_file_is_used_and_a_bad_one_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        let path_text = path.to_string_lossy().into_owned();
        let issuer = IssuerConfig {
            algorithms: vec!["HS256".into()],
            secret_file: Some(path_text.clone()),
            secret_base64: true,
            ..IssuerConfig::default()
        };
        write("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let authenticator = Authenticator::load(&AuthConfig { issuer: vec![issuer], ..AuthConfig::default() }).unwrap();
        let mut file = KeyFile { issuer: 0, path: path_text, seen: None };
        let mut refusal = |what: &str| {
            look(&authenticator, &mut file);
            let credentials = Credentials::new(TOKEN, Source::Header);
            (what.to_owned(), authenticator.authenticate(Some(&credentials), SystemTime::now()).unwrap_err())
        };
        assert_eq!(refusal("as loaded"), ("as loaded".into(), AuthError::SignatureInvalid));
        write(SECRET);
        assert_eq!(refusal("changed"), ("changed".into(), AuthError::Expired));
        for (what, text) in
            [("empty", ""), ("short", "AAAA"), ("no base64", "?"), ("PEM", "-----BEGIN PUBLIC KEY-----")]
        {
            write(text);
            assert_eq!(refusal(what), (what.into(), AuthError::Expired));
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(refusal("gone"), ("gone".into(), AuthError::Expired));
        write("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(refusal("back"), ("back".into(), AuthError::SignatureInvalid));
    }
}
