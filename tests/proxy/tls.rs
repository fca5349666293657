//! TLS towards browsers: curl and openssl as clients, certificates that change, and clients that do not get through.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use cottontail::app::Plan;
use cottontail::auth::AuthConfig;
use cottontail::config::Config;
use cottontail::routing::{MappingConfig, OneOrMany};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::scene::{Scene, program};
use crate::support::deadline::{eventually, within};
use crate::support::metrics::Metrics;
use crate::support::process::Server;
use crate::support::tls::Certificates;
use crate::wire::{Wire, field};

/// A directory as Kubernetes mounts a secret: the files are links into a directory that is a link itself.
struct Mounted(TempDir);

impl Mounted {
    fn new(certificates: &Certificates) -> Self {
        let mounted = Self(tempfile::tempdir().unwrap());
        mounted.swap(certificates);
        for name in ["tls.crt", "tls.key"] {
            std::os::unix::fs::symlink(format!("..data/{name}"), mounted.0.path().join(name)).unwrap();
        }
        mounted
    }

    /// Puts others in their place, both at once.
    fn swap(&self, certificates: &Certificates) {
        let root = self.0.path();
        let version = root.join(format!("version-{:x}", fastrand::u64(..)));
        std::fs::create_dir(&version).unwrap();
        certificates.write(&version);
        std::os::unix::fs::symlink(&version, root.join("..new")).unwrap();
        std::fs::rename(root.join("..new"), root.join("..data")).unwrap();
    }

    /// The sections `[upstream]` and `[server]`, whose last table is open.
    fn settings(&self, server: &str) -> String {
        let root = self.0.path().display();
        format!(
            "[server]\n{server}\n[server.tls]\ncertificate_file = \"{root}/tls.crt\"\nkey_file = \"{root}/tls.key\"\n\
             reload_interval = \"50ms\"\n"
        )
    }
}

fn this_runs() -> &'static Certificates {
    Certificates::of_this_run()
}

async fn scene() -> (Scene, Mounted) {
    let mounted = Mounted::new(this_runs());
    (Scene::start_with(&mounted.settings("")).await, mounted)
}

async fn browser(scene: &Scene) -> Wire<impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> {
    Wire::over(this_runs().connect(scene.server.address(), &["http/1.1"]).await.unwrap())
}

async fn failures(server: &Server, reason: &str) {
    let counted = |metrics: &Metrics| metrics.sum_where("tls_handshake_failures_total", "reason", reason) >= 1.0;
    server.metrics_until(reason, counted).await;
}

/// What the server shows to `openssl s_client`, which sends nothing and goes.
async fn s_client(server: &Server, arguments: &[&str]) -> String {
    let (_directory, authority) = this_runs().authority_file();
    let mut command = tokio::process::Command::new("openssl");
    command.args(["s_client", "-connect", &server.address().to_string(), "-CAfile", &authority]);
    let output = command.args(arguments).stdin(Stdio::null()).output().await.expect("openssl is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn the_application_learns_that_the_browser_spoke_https() {
    let (scene, _mounted) = scene().await;
    let mut browser = browser(&scene).await;
    browser.say("POST /x HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 5\r\n\r\nhello").await;
    let mut app = scene.accept().await;
    let head = app.head().await;
    assert_eq!(field(&head, "x-forwarded-proto"), Some("https"));
    assert_eq!(field(&head, "x-forwarded-port"), Some("443"));
    assert_eq!(field(&head, "forwarded"), Some("for=127.0.0.1;host=\"shop.example\";proto=https"));
    assert_eq!(app.exactly(5).await, b"hello");
    app.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(browser.until("ok").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn curl_gets_through_with_both_versions_of_http_and_checks_the_certificate() {
    let (scene, _mounted) = scene().await;
    let (_directory, authority) = this_runs().authority_file();
    let ways: [(&[&str], &str); 4] = [
        (&["--http1.1"], "1.1"),
        (&["--http2"], "2"),
        (&["--tls-max", "1.2", "--http2"], "2"),
        (&["--no-alpn"], "1.1"),
    ];
    for (arguments, version) in ways {
        let mut curl = tokio::process::Command::new("/usr/bin/curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", "--cacert", &authority]).args(arguments);
        curl.args(["--write-out", " over %{http_version}", &scene.server.url("/x")]);
        let (answer, ()) = tokio::join!(curl.output(), async {
            let mut app = scene.accept().await;
            app.head().await;
            app.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await;
        });
        let answer = answer.expect("curl is installed");
        assert!(answer.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&answer.stderr));
        assert_eq!(String::from_utf8_lossy(&answer.stdout), format!("ok over {version}"), "{arguments:?}");
    }
    let untrusting = Command::new("/usr/bin/curl").args(["--silent", &scene.server.url("/x")]).status().unwrap();
    assert_eq!(untrusting.code(), Some(60), "curl does not know the authority");
    failures(&scene.server, "refused").await;
}

#[tokio::test]
async fn openssl_agrees_on_a_protocol_and_verifies_the_chain() {
    let (scene, _mounted) = scene().await;
    for (offered, agreed) in [
        ("h2,http/1.1", "ALPN protocol: h2"),
        ("http/1.1,h2", "ALPN protocol: h2"),
        ("http/1.1", "ALPN protocol: http/1.1"),
    ] {
        let said = s_client(&scene.server, &["-alpn", offered]).await;
        assert!(said.contains(agreed) && said.contains("Verify return code: 0 (ok)"), "{offered}: {said}");
    }
    let said = s_client(&scene.server, &[]).await;
    assert!(said.contains("No ALPN negotiated") && said.contains("TLSv1.3"), "{said}");
    let said = s_client(&scene.server, &["-tls1_2"]).await;
    assert!(said.contains("TLSv1.2"), "{said}");
    let said = s_client(&scene.server, &["-alpn", "acme-tls/1"]).await;
    assert!(said.contains("no peer certificate available"), "{said}");
    failures(&scene.server, "incompatible").await;
}

#[tokio::test]
async fn a_certificate_that_is_swapped_counts_for_new_connections_and_a_bad_one_never_does() {
    let (scene, mounted) = scene().await;
    let mut before = browser(&scene).await;
    let subject = async || {
        let said = s_client(&scene.server, &[]).await;
        said.lines().find(|line| line.starts_with("subject=")).unwrap_or_default().to_owned()
    };
    assert!(subject().await.contains("localhost"));
    mounted.swap(&Certificates::new("renewed"));
    eventually("the new certificate", async || subject().await.contains("renewed").then_some(())).await;

    // The key of another certificate, as when one of two files is forgotten.
    let (other, foreign) = (Certificates::new("other"), Certificates::new("foreign"));
    mounted.swap(&Certificates { key: foreign.key, ..other });
    let complaints = || scene.server.log().matches("the certificate's files cannot be used").count();
    eventually("a word on it", async || (complaints() > 0).then_some(())).await;
    assert!(subject().await.contains("renewed"), "what worked goes on");
    std::fs::remove_file(mounted.0.path().join("tls.key")).unwrap();
    eventually("a word on the missing file", async || (complaints() > 1).then_some(())).await;
    assert!(subject().await.contains("renewed"));
    std::os::unix::fs::symlink("..data/tls.key", mounted.0.path().join("tls.key")).unwrap();
    mounted.swap(&Certificates::new("mended"));
    eventually("the mended certificate", async || subject().await.contains("mended").then_some(())).await;
    assert!(complaints() <= 3, "once for each fault, not at each look: {}", scene.server.log());

    before.say("GET /still HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(scene.accept().await.head().await.starts_with("GET /still "), "an open connection goes on");
}

#[tokio::test]
async fn when_the_certificate_or_one_of_its_chain_expires_is_a_metric() {
    let mounted = Mounted::new(&Certificates::lasting("long", 9));
    let scene = Scene::start_with(&mounted.settings("")).await;
    let expires_in = async |days: f64| {
        let then = UNIX_EPOCH.elapsed().unwrap().as_secs_f64() + days * 86_400.0;
        let is_then =
            |metrics: &Metrics| (metrics.sum("tls_certificate_expiry_timestamp_seconds") - then).abs() < 3600.0;
        scene.server.metrics_until(&format!("a certificate of {days} days"), is_then).await;
    };
    expires_in(9.0).await;
    let short = Certificates::lasting("short", 4);
    mounted.swap(&short);
    expires_in(4.0).await;
    mounted.swap(&Certificates { certificate: short.certificate.clone() + &short.authority, ..short });
    expires_in(2.0).await;
}

#[tokio::test]
async fn who_speaks_plain_http_is_told_so() {
    let (scene, _mounted) = scene().await;
    let mut plain = scene.browser().await;
    plain.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = plain.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"code\":\"tls_required\""), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(field(head, "content-length"), Some(body.len().to_string().as_str()));
    failures(&scene.server, "plain_http").await;
}

#[tokio::test]
async fn a_handshake_that_comes_to_nothing_is_ended_and_counted() {
    let mounted = Mounted::new(this_runs());
    let scene = Scene::start_with(&mounted.settings("header_timeout = \"2s\"")).await;
    for (said, reason) in [
        (&b""[..], "timeout"),
        // A record's head, and nothing of the record.
        (b"\x16\x03\x01\x02\x00\x01", "timeout"),
        (b"\x16\x03\x01\x00\x05hello", "malformed"),
        (b"\x80\x2e\x01\x00\x02", "malformed"),
    ] {
        let mut client = scene.browser().await;
        client.say(said).await;
        client.rest().await;
        failures(&scene.server, reason).await;
    }
    drop(scene.browser().await);
    failures(&scene.server, "closed").await;
    // And after the handshake the headers have their own time.
    let mut silent = browser(&scene).await;
    silent.rest().await;
}

#[tokio::test]
async fn a_websocket_echoes_through_tls() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    let mounted = Mounted::new(this_runs());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = program(listener.local_addr().unwrap(), &mounted.settings("")).await;
    let echo = async {
        let mut socket = tokio_tungstenite::accept_async(listener.accept().await.unwrap().0).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    };
    let talk = async {
        let stream = this_runs().connect(server.address(), &["http/1.1"]).await.unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async("wss://localhost/socket", stream).await.unwrap();
        for message in [Message::text("moin"), Message::binary(vec![7; 1 << 20]), Message::text("")] {
            socket.send(message.clone()).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), message);
        }
        socket.close(None).await.unwrap();
        while socket.next().await.is_some_and(|message| message.is_ok()) {}
    };
    within("the echo to end", Box::pin(async { tokio::join!(echo, talk) })).await;
}

#[tokio::test]
async fn each_way_of_a_tunnel_ends_by_itself_through_tls() {
    let (scene, _mounted) = scene().await;
    let mut browser = this_runs().connect(scene.server.address(), &["http/1.1"]).await.unwrap();
    browser.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: raven/1\r\n\r\n").await.unwrap();
    let mut app = scene.accept().await;
    app.head().await;
    app.say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raven/1\r\n\r\n").await;
    browser.write_all(b"caw").await.unwrap();
    browser.shutdown().await.unwrap();
    assert_eq!(app.rest().await, "caw");
    app.say("the last word").await;
    app.finish().await;
    let mut rest = String::new();
    within("the tunnel to end", browser.read_to_string(&mut rest)).await.expect("an end with close_notify");
    assert!(rest.ends_with("\r\n\r\nthe last word"), "{rest}");
}

#[test]
fn files_that_cannot_work_are_found_at_the_start_with_their_setting() {
    let directory = tempfile::tempdir().unwrap();
    let faults = |certificate: Option<&str>, key: Option<&str>| {
        let written = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
            path.display().to_string()
        };
        let mapping = MappingConfig {
            routing_key: "#".into(),
            everyone: true,
            user: OneOrMany(Vec::new()),
            ..MappingConfig::default()
        };
        let auth = AuthConfig { anonymous: true, ..AuthConfig::default() };
        let mut config = Config { auth, mapping: vec![mapping], ..Config::default() };
        config.server.tls.certificate_file = certificate.map(|text| written("crt", text));
        config.server.tls.key_file = key.map(|text| written("key", text));
        let found = Plan::new(config).err().unwrap_or_default();
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let (good, other) = (this_runs(), Certificates::new("other"));
    let (certificate, key) = (good.certificate.as_str(), good.key.as_str());
    assert_eq!(faults(Some(certificate), Some(key)), "");
    assert_eq!(faults(Some(&(certificate.to_owned() + &good.authority)), Some(key)), "", "with its chain");
    for (certificate, key, said) in [
        (Some(certificate), None, "server.tls.key_file: is needed"),
        (None, Some(key), "server.tls.certificate_file: is needed"),
        (Some(certificate), Some(other.key.as_str()), "server.tls.key_file: is not the key of the first certificate"),
        (Some(&good.authority), Some(key), "server.tls.key_file: is not the key of the first certificate"),
        (Some(""), Some(key), "server.tls.certificate_file: has no certificate"),
        (Some(key), Some(key), "server.tls.certificate_file: has no certificate"),
        (Some(certificate), Some(certificate), "server.tls.key_file: has no private key"),
        (
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            Some(key),
            "server.tls.certificate_file: has a certificate that cannot be read",
        ),
        (Some("-----BEGIN CERTIFICATE-----\n!"), Some(key), "server.tls.certificate_file: is not a PEM file"),
    ] {
        let found = faults(certificate, key);
        assert!(found.starts_with(said) && found.lines().count() == 1, "{said}: {found}");
    }
    let mut config = Config::default();
    config.server.tls.certificate_file = Some("/nonexistent/tls.crt".into());
    config.server.tls.key_file = Some("/nonexistent/tls.key".into());
    let found = cottontail::server::Tls::load(&config.server.tls).unwrap_err();
    assert_eq!(found[0].to_string(), "server.tls.certificate_file: cannot be read: entity not found");
}
