//! Key files that change while the program runs, as a mounted Kubernetes secret does: by a link that is put in place of another.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::scene::{open, present, present_until, refreshes, refused, set, start, token};
use crate::support::tokens::Issuer;

/// Writes a new version beside the old one and points the link there, as the kubelet does.
fn mount(directory: &Path, version: &str, contents: &str) -> String {
    let data = directory.join(version);
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("key"), contents).unwrap();
    let fresh = directory.join("..data_tmp");
    symlink(&data, &fresh).unwrap();
    std::fs::rename(&fresh, directory.join("..data")).unwrap();
    directory.join("key").to_string_lossy().into_owned()
}

#[tokio::test]
async fn a_mounted_key_that_is_replaced_is_used_and_a_bad_one_changes_nothing() {
    let (old, new) = (Issuer::key_pair("ES256"), Issuer::key_pair("ES256"));
    let (weak, secret) = (Issuer::hmac("HS256"), Issuer::hmac("HS256"));
    for (setting, algorithm, before, after, old, new) in [
        ("public_key_file", "ES256", old.public_key().to_owned(), new.public_key().to_owned(), &old, &new),
        ("jwks_file", "ES256", set(&[old.jwk("k")]), set(&[new.jwk("k")]), &old, &new),
        ("secret_file", "HS256", format!("{}\n", weak.secret()), format!("{}\n", secret.secret()), &weak, &secret),
    ] {
        let directory = tempfile::tempdir().unwrap();
        symlink("..data/key", directory.path().join("key")).unwrap();
        let path = mount(directory.path(), "1", &before);
        let table = format!("[[auth.issuer]]\nalgorithms = [\"{algorithm}\"]\n{setting} = \"{path}\"");
        let server = start("keys_reread = \"20ms\"", &table).await;
        let (old, new) = (token(old, "k", "ada"), token(new, "k", "bob"));
        assert_eq!(present(&server, &old).await, open("ada"), "{setting}");
        assert_eq!(present(&server, &new).await, refused("token_signature_invalid"), "{setting}");

        mount(directory.path(), "2", "not a key");
        refreshes(&server, "keys_invalid", 1.0).await;
        assert_eq!(present(&server, &old).await, open("ada"), "{setting}");
        assert!(server.log().contains("changed for the worse"), "{setting}");

        mount(directory.path(), "3", &after);
        present_until(&server, &new, &open("bob")).await;
        assert_eq!(present(&server, &old).await, refused("token_signature_invalid"), "{setting}");
        let metrics = server.metrics().await;
        let count = |outcome| metrics.sum_where("auth_key_refreshes_total", "outcome", outcome);
        assert_eq!((count("ok"), count("keys_invalid")), (1.0, 1.0), "each change counts once");
    }
}
