//! The bridge to `sign.py` and `sign.pl`: a folder of fresh keys, and tokens that other libraries made.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking, whichever function does it")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// 64 bytes: long enough for each HMAC.
pub(crate) const SECRET: &str = "an HMAC secret of sixty-four bytes, made for these tests alone..";
/// What the tests call now, in seconds.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

/// The path of a key file. Stems: `rsa`, `rsa-other`, `rsa-1024`, `p256`, `p256-other`, `p256k`, `p384`, `p521`, `ed25519`;
/// endings: `.key` (private), `.pem`, `.pkcs1.pem` (RSA), `.crt`, `.jwks`. `named.jwks` has keys with a `kid`.
pub(crate) fn key_file(name: &str) -> String {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("auth-keys");
        fs::create_dir_all(&folder).unwrap();
        ask(&json!({ "keys": folder }));
        folder
    });
    folder.join(name).to_str().unwrap().to_owned()
}

/// Claims of user 42 that are good for an hour, with the members of `extra` added or put in place.
pub(crate) fn claims(extra: Value) -> Value {
    let mut claims = json!({ "sub": "42", "exp": NOW + 3600 });
    let Value::Object(extra) = extra else { panic!("claims are an object") };
    claims.as_object_mut().unwrap().extend(extra);
    claims
}

/// One token for each job; see `sign.py` for what a job is.
pub(crate) fn sign(jobs: &[Value]) -> Vec<String> {
    let answer = ask(&json!({ "sign": jobs }));
    let tokens: Vec<String> = serde_json::from_value(answer).unwrap();
    assert_eq!(tokens.len(), jobs.len());
    tokens
}

/// One HS256 token under [`SECRET`].
pub(crate) fn hs256(claims: &Value) -> String {
    sign(&[json!({ "alg": "HS256", "key": { "secret": SECRET }, "claims": claims })]).remove(0)
}

/// As [`sign`], by another library with other cryptography; a job has no "payload" and no "header". See `sign.pl`.
pub(crate) fn sign_in_perl(jobs: &[Value]) -> Vec<String> {
    serde_json::from_value(run("/usr/bin/perl", "sign.pl", "libcrypt-jwt-perl", &json!(jobs))).unwrap()
}

fn ask(request: &Value) -> Value {
    run("/usr/bin/python3", "sign.py", "python3-jwt python3-cryptography", request)
}

fn run(interpreter: &str, script: &str, packages: &str, request: &Value) -> Value {
    let mut child = Command::new(interpreter)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tokens").join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{interpreter}: {error}"));
    child.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tests/tokens/{script} failed; it needs {packages} of Debian:\n{complaint}");
    serde_json::from_slice(&output.stdout).unwrap()
}
