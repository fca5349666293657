//! Event streams go on whatever becomes of the application.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cottontail::app::{App, Plan, Source};
use cottontail::auth::AuthConfig;
use cottontail::broker::Exchange;
use cottontail::config::Config;
use cottontail::event::Message;
use cottontail::routing::{MappingConfig, OneOrMany};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::http1::{Request, try_fetch};
use crate::support::sse::EventStream;
use crate::wire::Wire;

fn config(app: std::net::SocketAddr) -> Config {
    let mut config = Config::default();
    let any = "127.0.0.1:0".parse().unwrap();
    (config.server.listen, config.admin.listen, config.server.threads) = (any, any, 2);
    config.auth = AuthConfig { anonymous: true, ..AuthConfig::default() };
    config.mapping = vec![MappingConfig {
        routing_key: "news.{event}".into(),
        user: OneOrMany::from(""),
        everyone: true,
        event: "{event}".into(),
        ..MappingConfig::default()
    }];
    config.mapping[0].user.0.clear();
    config.upstream.url = Some(format!("http://{app}"));
    config.upstream.first_byte_timeout = cottontail::setting::Span::from_millis(200);
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_while_the_application_hangs_dies_and_flaps() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plan = Plan::new(config(listener.local_addr().unwrap())).unwrap();
    let (publisher, exchange) = Exchange::new(&plan.binding_keys(), 64);
    let program = App::start(plan, Source::Exchange(exchange), None).unwrap();
    let address = program.server();
    let mut stream = EventStream::open(address, &Request::get("/events")).await;
    stream.connected().await;

    // In turn: never answers, resets, answers half, answers.
    let application = tokio::spawn(async move {
        let mut held = Vec::new();
        for turn in 0u32.. {
            let mut app = Wire::new(listener.accept().await.unwrap().0);
            match turn % 4 {
                0 => held.push(app),
                1 => app.reset(),
                2 => drop(app.try_say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await),
                _ => drop(app.try_say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await),
            }
        }
    });
    let enough = Arc::new(AtomicBool::new(false));
    let mut browsers = JoinSet::new();
    for _ in 0..8 {
        let enough = Arc::clone(&enough);
        browsers.spawn(async move {
            let mut seen = Vec::new();
            while !enough.load(Ordering::Relaxed) {
                // A response that breaks off is an error here, and one of the four kinds.
                seen.push(try_fetch(address, &Request::get("/page")).await.map_or(0, |response| response.status()));
            }
            seen
        });
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    for number in 0..200 {
        ticks.tick().await;
        let message =
            Message { routing_key: "news.tick".into(), body: number.to_string().into(), ..Message::default() };
        publisher.publish(message).unwrap();
        let event = stream.message().await;
        assert_eq!((event.name.as_str(), event.data.as_str()), ("tick", number.to_string().as_str()));
    }
    enough.store(true, Ordering::Relaxed);
    let mut seen: Vec<u16> = browsers.join_all().await.into_iter().flatten().collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [0, 200, 502, 504], "every kind of failure came to a browser");
    application.abort();
    drop(stream);
    program.stop().await;
}
