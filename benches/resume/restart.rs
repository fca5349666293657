//! From the broker's return to the last browser that has its next event.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Options;
use crate::browser::Browser;
use crate::publisher::Publisher;
use crate::setting::Setting;
use crate::table::Row;

const BROWSERS: usize = 1000;
const RETRY: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(60);
const CONFIRM_LIMIT: Duration = Duration::from_millis(500);

pub async fn measure(setting: &Setting, options: &Options) -> Vec<Row> {
    let count = BROWSERS.min(options.clients);
    let mut waiting = JoinSet::new();
    for user in 0..count {
        let mut browser = Browser::open(setting.address(), &setting.request(user, None)).await.unwrap();
        waiting
            .spawn(async move { while !browser.event().await.expect("a stream stays open").starts_with("back ") {} });
    }
    setting.node.stop().await;
    setting.node.start().await;
    let back = Instant::now();
    let url = setting.node.url("guest:guest", &setting.vhost);
    // What is published before a queue is there again is nobody's, and what is not confirmed is published anew.
    let announce = async {
        for attempt in 0.. {
            let confirmed =
                async { Publisher::try_connect(&url).await?.publish("announce", &format!("back {attempt}")).await };
            if let Ok(Ok(true)) = timeout(CONFIRM_LIMIT, confirmed).await {
                return;
            }
            sleep(RETRY).await;
        }
    };
    timeout(LIMIT, announce).await.expect("the broker takes messages again");
    let kept = back.elapsed();
    let all = async { while waiting.join_next().await.is_some() {} };
    timeout(LIMIT, all).await.expect("every browser hears of it");
    let figure = format!("{:.2} s (message kept after {:.2} s)", back.elapsed().as_secs_f64(), kept.as_secs_f64());
    vec![Row::new(format!("from the broker's return to the last of {count} browsers"), figure)]
}
