//! `drain`: has the running process end its streams, and waits until it has; ending them is the server's.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use http::Method;
use serde::Deserialize;
use tokio::time::sleep;

use super::admin::{AdminAddress, AdminError};
use super::args::DrainArgs;

/// How often the process is asked how far it is.
const LOOK: Duration = Duration::from_millis(200);
/// However long the process says that it takes.
const LONGEST: Duration = Duration::from_secs(3600);

/// What the process says of its drain.
#[derive(Debug, Deserialize)]
struct Progress {
    connections: u64,
    seconds_left: f64,
}

/// Begins the drain and returns the exit code when the streams have ended, or when their time is over.
pub async fn drain(args: &DrainArgs, out: &mut impl Write, problems: &mut impl Write) -> io::Result<u8> {
    match ended(args).await {
        Ok(0) => writeln!(out, "all streams have ended")?,
        Ok(open) => writeln!(problems, "the time is over; {open} streams have not taken their last bytes yet")?,
        Err(error) => {
            writeln!(problems, "error: {error}")?;
            return Ok(1);
        }
    }
    Ok(0)
}

/// How many streams are left at the end.
async fn ended(args: &DrainArgs) -> Result<u64, AdminError> {
    let process = AdminAddress::find(args.admin.as_deref(), &args.config.sources())?;
    let started = Instant::now();
    let mut progress: Progress = process.read(Method::POST, "/drain").await?;
    while progress.connections > 0 && progress.seconds_left > 0.0 && started.elapsed() < LONGEST {
        sleep(LOOK).await;
        // Only asked, not told again: a process that has taken the place of the first is not to be drained.
        progress = process.read(Method::GET, "/drain").await?;
    }
    Ok(progress.connections)
}
