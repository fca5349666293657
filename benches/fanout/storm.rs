//! Streams that are opened all at once, closed, and opened again, beside those that are measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::{Generator, Opening, Wanted};
use crate::cores::Cores;
use crate::failure::Failure;

const PATIENCE: Duration = Duration::from_secs(60);

/// A storm under way.
pub struct Storm {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<f64, Failure>>,
}

impl Storm {
    /// Opens `wanted` in waves, over one thread, on `cores` if it is not to run everywhere.
    pub fn start(
        address: SocketAddr,
        opening: Opening,
        wanted: Vec<Wanted>,
        unanswered: usize,
        cores: Option<Cores>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let _kept = cores.map(|cores| cores.keep()).transpose()?;
            let (mut opened, mut time) = (0, Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                let start = Instant::now();
                let generator = Generator::open(address, opening, vec![wanted.clone()], unanswered);
                generator.wait_open(PATIENCE)?;
                (opened, time) = (opened + wanted.len(), time + start.elapsed());
                let faults = generator.close(|_| 0)?.faults;
                if !faults.none() {
                    return Err(Failure::Opening(format!("in the storm: {faults}")));
                }
            }
            Ok(opened as f64 / time.as_secs_f64())
        });
        Self { stop, thread }
    }

    /// Waits for the end of the wave under way: streams opened a second, while they were being opened.
    pub fn end(self) -> Result<f64, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Failure::Opening("the storm panicked".into()))?
    }
}
