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
use crate::cores::{Cores, Division};
use crate::failure::Failure;
use crate::setting::{LIVE, RING, Setting};
use crate::table::Row;
use crate::{proc, ring};

const BROWSERS: usize = 100;
const PER_SECOND: u32 = 100;
/// Browsers of the storm that come back together.
const WAVE: usize = 500;
const ROUNDS: usize = 3;
const BUDGET_RATIO: f64 = 3.0;
const END: &str = "end";

pub async fn measure(setting: &mut Setting, options: &Options) -> Vec<Row> {
    // Asked before anything is confined to a part of them.
    let everywhere = Cores::all();
    let threads = everywhere.count().div_ceil(2);
    setting.restart(threads, RING).await;
    let start = ring::fill(setting).await;
    let resumes: Arc<[Resume]> = ring::resumes(setting, options.clients, &start).into();
    let division = Division::new(threads);
    if let Some(Division { server, browsers, .. }) = &division {
        place(setting, server, browsers).expect("processes of ours");
    }
    let (mut quiet, mut stormy, mut ratios, mut rates) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // What follows the filling, in the broker above all, is over with this.
    latencies(setting, options.seconds).await;
    // Interleaved, since the machine may be busy with other things at one time and not at another.
    for _ in 0..ROUNDS {
        let calm = latencies(setting, options.seconds).await;
        let running = Arc::new(AtomicBool::new(true));
        let storm = storm(setting.address(), Arc::clone(&resumes), Arc::clone(&running), division);
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
    place(setting, &everywhere, &everywhere).expect("processes of ours");
    let figure = |sorted: &[f64]| format!("p50 {:.2} ms, p99 {:.2} ms", quantile(sorted, 0.5), quantile(sorted, 0.99));
    let (ratio, rate) = (quantile(&ratios, 0.5), quantile(&rates, 0.5));
    let placement = division.map_or("all on the same processors".to_owned(), |Division { server, beside, browsers }| {
        let [server, beside, browsers] = [server, beside, browsers].map(|cores| cores.list());
        format!("the program on {server}, who resumes on {beside}, the broker, the publisher and who stays on {browsers}")
    });
    vec![
        Row::new("processors of what follows", placement),
        Row::new("live latency, nobody resumes", figure(&quiet)),
        Row::new(format!("live latency while {rate:.0} a second resume"), figure(&stormy)),
        Row::new("ratio of the two p99, median of the rounds", format!("{ratio:.1} ({ratios:.1?})"))
            .budget(format!("at most {BUDGET_RATIO}"), ratio <= BUDGET_RATIO),
    ]
}

/// Keeps the program on some processors, and the broker, the publisher and the browsers that stay on others: what they would
/// take from one another is nothing that the program could change.
fn place(setting: &Setting, program: &Cores, rest: &Cores) -> Result<(), Failure> {
    let ours = std::process::id();
    for process in proc::descendants(ours)?.into_iter().chain([ours]) {
        let cores = if process == setting.server.id() { program } else { rest };
        cores.take(process)?;
    }
    Ok(())
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
fn storm(
    address: SocketAddr,
    resumes: Arc<[Resume]>,
    running: Arc<AtomicBool>,
    division: Option<Division>,
) -> thread::JoinHandle<f64> {
    thread::spawn(move || {
        let _kept = division.map(|division| division.beside.keep().unwrap());
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
