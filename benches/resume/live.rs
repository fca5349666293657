//! Latency of those who stay, while others come back in a storm and while nobody does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::Options;
use crate::browser::{Browser, Resume, resume_all};
use crate::ring;
use crate::setting::{LIVE, Setting};
use crate::table::Row;

const BROWSERS: usize = 100;
const PER_SECOND: u32 = 100;
/// Browsers of the storm that come back together.
const WAVE: usize = 500;
const ROUNDS: usize = 3;
const BUDGET_RATIO: f64 = 3.0;
const END: &str = "end";

/// `start` is the id before the first event of the ring.
pub async fn measure(setting: &Setting, options: &Options, start: &str) -> Vec<Row> {
    let resumes: Arc<[Resume]> = ring::resumes(setting, options.clients, start).into();
    let (mut quiet, mut stormy, mut ratios, mut rates) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // Interleaved, since the machine may be busy with other things at one time and not at another.
    for _ in 0..ROUNDS {
        let calm = latencies(setting, options.seconds).await;
        let running = Arc::new(AtomicBool::new(true));
        let storm = storm(setting.address(), Arc::clone(&resumes), Arc::clone(&running));
        let loud = latencies(setting, options.seconds).await;
        running.store(false, Ordering::Release);
        rates.push(storm.join().expect("the storm does not panic"));
        ratios.push(quantile(&loud, 0.99) / quantile(&calm, 0.99));
        quiet.extend(calm);
        stormy.extend(loud);
    }
    for figures in [&mut quiet, &mut stormy, &mut ratios, &mut rates] {
        figures.sort_by(f64::total_cmp);
    }
    let figure = |sorted: &[f64]| format!("p50 {:.2} ms, p99 {:.2} ms", quantile(sorted, 0.5), quantile(sorted, 0.99));
    let (ratio, rate) = (quantile(&ratios, 0.5), quantile(&rates, 0.5));
    vec![
        Row::new("live latency, nobody resumes", figure(&quiet)),
        Row::new(format!("live latency while {rate:.0} a second resume"), figure(&stormy)),
        Row::new("ratio of the two p99, median of the rounds", format!("{ratio:.1} ({ratios:.1?})"))
            .budget(format!("at most {BUDGET_RATIO}"), ratio <= BUDGET_RATIO),
    ]
}

/// Milliseconds from the publisher to each browser, sorted.
async fn latencies(setting: &Setting, seconds: u64) -> Vec<f64> {
    let clock = Instant::now();
    let mut readers = JoinSet::new();
    for _ in 0..BROWSERS {
        let mut browser = Browser::open(setting.address(), &setting.request_of(LIVE, None)).await.unwrap();
        readers.spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let data = browser.event().await.expect("a stream stays open");
                if data == END {
                    return latencies;
                }
                let sent = Duration::from_nanos(data.parse().expect("a time"));
                latencies.push(clock.elapsed().saturating_sub(sent).as_secs_f64() * 1e3);
            }
        });
    }
    let mut pace = interval(Duration::from_secs(1) / PER_SECOND);
    let key = format!("user.{LIVE}");
    for _ in 0..seconds * u64::from(PER_SECOND) {
        pace.tick().await;
        let now = clock.elapsed().as_nanos().to_string();
        assert!(setting.publisher.publish(&key, &now).await.expect("the broker stays up"));
    }
    assert!(setting.publisher.publish(&key, END).await.expect("the broker stays up"));
    let mut all = readers.join_all().await.concat();
    all.sort_by(f64::total_cmp);
    all
}

/// A thread that has one wave after another come back from the ring; gives how many a second came.
fn storm(address: SocketAddr, resumes: Arc<[Resume]>, running: Arc<AtomicBool>) -> thread::JoinHandle<f64> {
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (began, mut browsers) = (Instant::now(), 0);
        for wave in resumes.chunks(WAVE).cycle() {
            if !running.load(Ordering::Acquire) {
                break;
            }
            browsers += runtime.block_on(resume_all(address, wave.to_vec())).len();
        }
        browsers as f64 / began.elapsed().as_secs_f64()
    })
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}
