//! The binary of the image, built here for this machine's architecture: it links to nothing, and it streams.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tokio::sync::OnceCell;

use crate::support::http1::Request;
use crate::support::process::Server;
use crate::support::sse::EventStream;

/// Type of the program header that names a dynamic loader (ELF, `PT_INTERP`).
const INTERPRETER: u32 = 3;

/// The debug build of the image's binary; its release build differs in size and speed alone.
async fn binary() -> &'static Path {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    BINARY.get_or_init(async || tokio::task::spawn_blocking(build).await.unwrap()).await
}

fn build() -> PathBuf {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--quiet",
            "--locked",
            "--features",
            "mimalloc,otlp",
            "--bin",
            "cottontail",
            "--target",
            &target,
        ])
        .arg("--target-dir")
        .arg(folder)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    folder.join(target).join("debug/cottontail")
}

/// The types of the program headers of a 64-bit little-endian ELF file.
fn program_headers(elf: &[u8]) -> Vec<u32> {
    assert_eq!(elf[..6], *b"\x7fELF\x02\x01");
    let offset = usize::try_from(u64::from_le_bytes(elf[32..40].try_into().unwrap())).unwrap();
    let [size, count] = [54, 56].map(|at| usize::from(u16::from_le_bytes([elf[at], elf[at + 1]])));
    let header = |number: usize| &elf[offset + number * size..];
    (0..count).map(|number| u32::from_le_bytes(header(number)[..4].try_into().unwrap())).collect()
}

#[tokio::test]
async fn it_needs_no_loader_and_no_library() {
    let headers = program_headers(&std::fs::read(binary().await).unwrap());
    assert!(headers.len() > 3 && !headers.contains(&INTERPRETER), "{headers:?}");
    let ours = program_headers(&std::fs::read(env!("CARGO_BIN_EXE_cottontail")).unwrap());
    assert!(ours.contains(&INTERPRETER), "the test would see one: {ours:?}");
}

#[tokio::test]
async fn it_streams_what_is_published() {
    let server = Server::dev_of(binary().await).await;
    let json = |target: &str, body: &serde_json::Value| {
        Request::new("POST", target).header("content-type", "application/json").body(body.to_string())
    };
    let token = server.fetch(&json("/dev/token", &json!({ "user": "alice", "channels": ["news"] }))).await;
    assert_eq!(token.status(), 200, "{}", token.text());
    let token = token.json()["token"].as_str().unwrap().to_owned();
    let mut stream = EventStream::open(server.address(), &Request::get("/events").bearer(&token)).await;
    stream.connected().await;
    let event = json!({ "routing_key": "user.alice.hello", "body": "static" });
    let published = server.fetch(&json("/dev/publish", &event)).await;
    assert!(published.status() < 300, "{}", published.text());
    assert_eq!(stream.message().await.data, "static");
}
