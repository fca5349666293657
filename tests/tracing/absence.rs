//! A collector that is not there, or hangs, or was named wrongly: events go on, memory does not grow, the log says it once.

use tokio::net::TcpListener;

use crate::collector::Collector;
use crate::scene::Scene;
use crate::support::rabbitmq::free_port;

/// More than the queue of spans holds.
const MESSAGES: usize = 50;
const SMALL_QUEUE: [(&str, &str); 3] =
    [("OTEL_BSP_MAX_QUEUE_SIZE", "8"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "300")];

async fn events_come(scene: &Scene) {
    let mut stream = scene.subscribe("ada").await;
    for number in 0..MESSAGES {
        scene.app.publish("user.ada.hello", number.to_string()).await;
        assert_eq!(stream.message().await.data, number.to_string());
    }
}

fn lines(scene: &Scene, part: &str) -> usize {
    scene.server.log().lines().filter(|line| line.contains(part)).count()
}

async fn ends_well(mut scene: Scene) {
    scene.server.terminate();
    assert!(scene.server.exit().await.success());
}

#[tokio::test]
async fn a_collector_that_is_away_or_hangs_holds_up_nothing_and_is_logged_once() {
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let away = format!("http://127.0.0.1:{}", free_port());
    for collector in [away, format!("http://{}", hanging.local_addr().unwrap())] {
        let scene = Scene::exporting_to(&collector, &SMALL_QUEUE).await;
        events_come(&scene).await;
        crate::support::deadline::eventually("the log to say it", async || {
            (lines(&scene, "the collector does not take spans") > 0).then_some(())
        })
        .await;
        events_come(&scene).await;
        assert_eq!(lines(&scene, "the collector does not take spans"), 1, "{}", scene.server.log());
        ends_well(scene).await;
    }
}

#[tokio::test]
async fn what_is_left_at_the_end_is_exported_then() {
    let collector = Collector::start().await;
    let scene = Scene::exporting_to(&collector.url(), &[("OTEL_BSP_SCHEDULE_DELAY", "600000")]).await;
    let mut stream = scene.subscribe("ada").await;
    scene.app.publish("user.ada.hello", "hi").await;
    stream.message().await;
    assert!(collector.spans().is_empty());
    drop(stream);
    ends_well(scene).await;
    assert!(collector.spans().iter().any(|span| span.name.starts_with("process")), "{:?}", collector.spans());
}

#[tokio::test]
async fn variables_that_cannot_be_followed_are_told_without_their_values_and_stop_nobody() {
    for (variable, value, said) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector s3cret", "OTEL_EXPORTER_OTLP_ENDPOINT must be"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "s3cret:4318", "OTEL_EXPORTER_OTLP_ENDPOINT must be"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/s3cret/ca.pem", "OTEL_EXPORTER_OTLP_CERTIFICATE"),
    ] {
        let scene = Scene::start(&[("OTEL_TRACES_EXPORTER", "otlp"), (variable, value)]).await;
        let log = scene.server.log();
        assert!(log.contains("no spans are exported") && log.contains(said), "{log}");
        assert!(!log.contains("s3cret"), "{log}");
        ends_well(scene).await;
    }
}
