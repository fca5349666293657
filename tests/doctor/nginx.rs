//! nginx in front, as the README has it and with one setting wrong.

use crate::ingress::{Ingress, changed, nobody, recipe, says_come_back};
use crate::patient::{LIVELY, QUIET, examine, examine_url};
use crate::scenario::Scenario;
use crate::support::tls::Certificates;

const BUFFERING: &str = "proxy_buffering off;";
const READ_TIMEOUT: &str = "proxy_read_timeout 1h;";

#[tokio::test]
async fn the_recipe_lets_events_through() {
    let scenario = Scenario::start_with(LIVELY).await;
    let nginx = Ingress::nginx(&recipe("nginx", scenario.server.address())).await;
    let diagnosis = examine(&scenario, nginx.address).await;
    diagnosis.is_clean();
    assert!(diagnosis.text.contains("without TLS browsers speak HTTP/1.1 only"), "{}", diagnosis.text);
}

#[tokio::test]
async fn the_recipe_tells_browsers_to_come_back_while_nobody_is_there() {
    let nginx = Ingress::nginx(&recipe("nginx", nobody())).await;
    says_come_back(nginx.address, 502).await;
}

#[tokio::test]
async fn buffering_is_found() {
    let scenario = Scenario::start_with(LIVELY).await;
    let recipe = recipe("nginx", scenario.server.address());
    // Chunks pass through its buffers at once; what has none waits in them, unless it asks not to be kept.
    let recipe = changed(&recipe, "proxy_http_version 1.1;", "proxy_http_version 1.0;");
    let buffers = "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;";
    let nginx = Ingress::nginx(&changed(&recipe, BUFFERING, buffers)).await;
    examine(&scenario, nginx.address)
        .await
        .is_fault("the stream is buffered: HEAD is answered", "`proxy_buffering off;`");
    let asked = Ingress::nginx(&changed(&recipe, BUFFERING, "proxy_buffering on;")).await;
    examine(&scenario, asked.address).await.is_fault("HTTP/1.0", "`proxy_http_version 1.1;`");
}

#[tokio::test]
async fn compression_is_found() {
    let scenario = Scenario::start_with(LIVELY).await;
    let compresses = "gzip on; gzip_types text/event-stream;";
    let nginx = Ingress::nginx(&changed(&recipe("nginx", scenario.server.address()), "gzip off;", compresses)).await;
    examine(&scenario, nginx.address).await.is_fault("the stream is compressed (gzip)", "`gzip_types`");
}

#[tokio::test]
async fn a_limit_shorter_than_the_heartbeat_is_found() {
    let scenario = Scenario::start_with(QUIET).await;
    let recipe = recipe("nginx", scenario.server.address());
    let nginx = Ingress::nginx(&changed(&recipe, READ_TIMEOUT, "proxy_read_timeout 2s;")).await;
    examine(&scenario, nginx.address).await.is_fault("something allows less quiet", "`proxy_read_timeout`");
    examine(&scenario, Ingress::nginx(&recipe).await.address).await.is_clean();
}

#[tokio::test]
async fn http_1_0_towards_cottontail_is_found() {
    let scenario = Scenario::start_with(LIVELY).await;
    let recipe = recipe("nginx", scenario.server.address());
    let nginx = Ingress::nginx(&changed(&recipe, "proxy_http_version 1.1;", "proxy_http_version 1.0;")).await;
    examine(&scenario, nginx.address).await.is_fault("HTTP/1.0", "`proxy_http_version 1.1;`");
}

#[tokio::test]
async fn headers_that_are_taken_away_are_found() {
    let scenario = Scenario::start_with(LIVELY).await;
    let recipe = recipe("nginx", scenario.server.address());
    let hides =
        Ingress::nginx(&changed(&recipe, BUFFERING, "proxy_buffering off; proxy_hide_header Cache-Control;")).await;
    examine(&scenario, hides.address).await.is_fault("`Cache-Control: no-cache, no-transform`", "proxy_hide_header");
    let drops = "proxy_buffering off; proxy_set_header Last-Event-ID \"\";";
    let drops = Ingress::nginx(&changed(&recipe, BUFFERING, drops)).await;
    examine(&scenario, drops.address).await.is_fault("the `Last-Event-ID` header does not arrive", "proxy_set_header");
}

#[tokio::test]
async fn redirects_login_pages_and_an_absent_cottontail_are_told_apart() {
    let scenario = Scenario::start_with(LIVELY).await;
    let token = scenario.issuer.token("ada");
    let nowhere = crate::support::rabbitmq::free_port();
    let nginx = Ingress::nginx(&format!(
        "location /moved {{ return 302 https://id.example/login?token=x; }}
         location /page {{ default_type text/html; return 200 \"<html>\"; }}
         location /gone {{ proxy_pass http://127.0.0.1:{nowhere}; }}
         location /there {{ proxy_pass http://{}/events; }}",
        scenario.server.address()
    ))
    .await;
    for (path, words) in [
        ("/moved", "redirect (302) to `https://id.example/login`"),
        ("/page", "a login page stands in front"),
        ("/gone", "the answer is a web page (status 502)"),
    ] {
        examine_url(&format!("http://{}{path}", nginx.address), &token, &[]).await.is_fault(words, "");
    }
    let refused = examine_url(&format!("http://{}/there", nginx.address), "no-token-at-all", &[]).await;
    refused.is_fault("the token is refused, or a proxy takes the `Authorization` header away", "");
}

#[tokio::test]
async fn over_tls_http_2_is_spoken_where_it_is_offered() {
    let scenario = Scenario::start_with(LIVELY).await;
    let recipe = recipe("nginx", scenario.server.address());
    let (files, certificates) = (tempfile::tempdir().unwrap(), Certificates::of_this_run());
    let [certificate, key] = certificates.write(files.path()).map(|path| path.display().to_string());
    let (_authority, ca_file) = certificates.authority_file();
    let tls = format!("ssl_certificate {certificate}; ssl_certificate_key {key}; {recipe}");
    for (words, is_http2) in [("ssl http2", true), ("ssl", false)] {
        let nginx = Ingress::nginx_listening(words, &tls).await;
        let url = format!("https://localhost:{}/events", nginx.address.port());
        let token = scenario.issuer.token("ada");
        let diagnosis = examine_url(&url, &token, &["--ca-file", &ca_file]).await;
        diagnosis.is_clean();
        assert_eq!(diagnosis.text.contains("only HTTP/1.1 is spoken"), !is_http2, "{}", diagnosis.text);
        let untrusted = examine_url(&url, &token, &[]).await;
        assert_eq!(untrusted.code, Some(2), "{}", untrusted.text);
        assert!(untrusted.text.contains("error: the TLS handshake fails"), "{}", untrusted.text);
    }
}
