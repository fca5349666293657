//! `HAProxy` in front, as the README has it and with one setting wrong.

use crate::ingress::{Ingress, changed, nobody, recipe, says_come_back};
use crate::patient::{LIVELY, QUIET, examine};
use crate::scenario::Scenario;

#[tokio::test]
async fn the_recipe_lets_events_through_quiet_or_lively() {
    for stream in [LIVELY, QUIET] {
        let scenario = Scenario::start_with(stream).await;
        let haproxy = Ingress::haproxy(&recipe("haproxy", scenario.server.address())).await;
        examine(&scenario, haproxy.address).await.is_clean();
    }
}

#[tokio::test]
async fn the_recipe_tells_browsers_to_come_back_while_nobody_is_there() {
    let haproxy = Ingress::haproxy(&recipe("haproxy", nobody())).await;
    says_come_back(haproxy.address, 503).await;
}

#[tokio::test]
async fn limits_shorter_than_the_heartbeat_are_found() {
    let scenario = Scenario::start_with(QUIET).await;
    let recipe = recipe("haproxy", scenario.server.address());
    for (from, to) in [
        ("timeout server 1h", "timeout server 2s"),
        ("timeout server 1h", "timeout server 1h\n    timeout tunnel 2s\n    mode tcp"),
    ] {
        let config = changed(&recipe, from, to);
        let config = if to.contains("tcp") { changed(&config, "    option forwardfor\n", "") } else { config };
        let haproxy = Ingress::haproxy(&config).await;
        examine(&scenario, haproxy.address).await.is_fault("something allows less quiet", "`timeout server`");
    }
}

#[tokio::test]
async fn compression_is_found_where_no_transform_does_not_arrive() {
    let scenario = Scenario::start_with(LIVELY).await;
    let compresses = "option forwardfor\n    compression algo gzip\n    compression type text/event-stream";
    let config = changed(&recipe("haproxy", scenario.server.address()), "option forwardfor", compresses);
    let obedient = Ingress::haproxy(&config).await;
    examine(&scenario, obedient.address).await.is_clean();
    // Behind it an nginx that takes the header away.
    let hides = "proxy_buffering off; proxy_hide_header Cache-Control;";
    let nginx = recipe("nginx", scenario.server.address());
    let nginx = Ingress::nginx(&changed(&nginx, "proxy_buffering off;", hides)).await;
    let config = changed(&recipe("haproxy", nginx.address), "option forwardfor", compresses);
    let diagnosis = examine(&scenario, Ingress::haproxy(&config).await.address).await;
    diagnosis.has_fault("the stream is compressed (gzip)", "`compression type`");
    diagnosis.has_fault("`Cache-Control: no-cache, no-transform` does not arrive", "`http-response del-header`");
}
