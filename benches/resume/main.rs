//! Coming back, measured: resumes from the ring and from the stream, a broker's restart, the ring's memory, and what a storm of
//! resumes does to those who stay.
//!
//! A RabbitMQ and the built program are processes of their own; this process is the publisher and every browser. A resume
//! counts when the last of exactly the events it must bring has come; anything else ends the benchmark.
#![allow(unreachable_pub, reason = "a binary has no outside")]
#![allow(clippy::print_stdout, reason = "a benchmark is a command line")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a benchmark that cannot go on has no figures")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures far below 2^52"
)]

#[allow(dead_code, unused_imports, clippy::print_stderr, reason = "shared with tests, which use another part")]
#[path = "../../tests/support"]
mod support {
    pub mod chunked;
    pub mod deadline;
    pub mod http1;
    pub mod metrics;
    pub mod output;
    pub mod process;
    pub mod rabbitmq;
    pub mod secrecy;
    pub mod tls;
    pub mod tokens;
}

mod browser;
#[path = "../fanout/cores.rs"]
#[allow(dead_code, reason = "shared with a benchmark that uses another part")]
mod cores;
#[path = "../fanout/failure.rs"]
#[allow(dead_code, reason = "shared with a benchmark that uses another part")]
mod failure;
mod live;
#[path = "../fanout/proc.rs"]
#[allow(dead_code, reason = "shared with a benchmark that uses another part")]
mod proc;
mod publisher;
mod restart;
mod ring;
mod setting;
mod stream;
mod table;

use clap::Parser;
use rustix::process::{Resource, getrlimit, setrlimit};

use setting::Setting;
use table::Row;

/// Measures how fast browsers come back.
#[derive(Clone, Debug, Parser)]
#[command(name = "resume", bin_name = "cargo bench --bench resume --")]
pub struct Options {
    /// `history.kind` of the program: memory or stream [default: the program's]
    #[arg(long)]
    pub history: Option<String>,
    /// Browsers that resume from the ring
    #[arg(long, default_value_t = 10_000)]
    pub clients: usize,
    /// Events in the ring, 20 for each user
    #[arg(long, default_value_t = 100_000)]
    pub events: usize,
    /// Browsers that resume from all over the stream
    #[arg(long, default_value_t = 500)]
    pub readers: usize,
    /// Seconds of each round in which live latency is measured, without a storm and with one
    #[arg(long, default_value_t = 3)]
    pub seconds: u64,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    pub bench: bool,
}

fn main() {
    // `cargo test --benches` passes no argument: it wants to know that the benchmark works, not what it finds.
    let tested = std::env::args_os().len() == 1;
    let mut options = Options::parse();
    if tested {
        options = Options { clients: 200, events: 2_000, readers: 20, seconds: 1, ..options };
    }
    // A browser takes a descriptor here and one in the program, which inherits the limit.
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let rows = runtime.block_on(measure(&options));
    if tested {
        println!("resume: every browser got exactly what it had missed");
    } else {
        println!("\n{}", table::render(&rows));
    }
}

async fn measure(options: &Options) -> Vec<Row> {
    let mut setting = Setting::start(options).await;
    let mut rows = ring::measure(&setting, options).await;
    rows.extend(live::measure(&mut setting, options).await);
    rows.extend(restart::measure(&setting, options).await);
    if setting.has_stream() {
        rows.extend(stream::measure(&mut setting, options).await);
    } else {
        rows.push(Row::new("resumes from the stream", "this history has none"));
    }
    rows
}
