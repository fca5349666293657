//! When a new configuration is looked for: on SIGHUP, and when the settings file has changed. A bad one is refused whole.

use std::future::pending;
use std::io;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::live::Live;
use super::plan::Plan;
use crate::config::{Changes, Sources, WatchedFiles};
use crate::setting::Fault;
use crate::telemetry;

/// Keeps the configuration of a running program as its sources have it.
pub struct Reloader {
    live: Live,
    sources: Sources,
    hangups: Signal,
    file: WatchedFiles,
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").field("live", &self.live).finish_non_exhaustive()
    }
}

impl Reloader {
    /// Must be called within a tokio runtime; from then on SIGHUP does not end the process any more.
    ///
    /// `file` is as it was before the configuration in force was read.
    pub(super) fn new(live: Live, sources: Sources, file: WatchedFiles) -> io::Result<Self> {
        let hangups = signal(SignalKind::hangup())?;
        telemetry::config::loaded(true, SystemTime::now());
        Ok(Self { live, sources, hangups, file })
    }

    /// Takes new configurations over for as long as it is polled. Never resolves.
    pub async fn run(mut self) {
        loop {
            let interval = self.live.config.admin.reload_interval.0;
            tokio::select! {
                hangup = self.hangups.recv() => match hangup {
                    Some(()) => Box::pin(self.reload()).await,
                    // No further signal can come.
                    None => pending().await,
                },
                () = quiet(interval) => {
                    if self.has_changed().await {
                        Box::pin(self.reload()).await;
                    }
                }
            }
        }
    }

    async fn has_changed(&mut self) -> bool {
        let mut file = self.file.clone();
        // A file system that hangs keeps no thread of the runtime.
        match spawn_blocking(move || (file.changed(), file)).await {
            Ok((changed, file)) => {
                self.file = file;
                changed
            }
            Err(_) => false,
        }
    }

    async fn reload(&mut self) {
        let sources = self.sources.clone();
        let plan = match spawn_blocking(move || Plan::load(&sources)).await {
            Ok(Ok(plan)) => plan,
            Ok(Err(faults)) => return refused(&faults),
            Err(_) => return refused(&[]),
        };
        for warning in plan.warnings() {
            tracing::warn!(%warning, "configuration");
        }
        self.file.clone_from(&plan.file);
        let Changes { live, after_restart } = Box::pin(self.live.change_to(plan)).await;
        if !after_restart.is_empty() {
            let keys = after_restart.join(", ");
            tracing::warn!(keys, "what takes effect after a restart only");
        }
        if live.is_empty() {
            tracing::info!("the configuration is as it was");
        } else {
            let keys = live.join(", ");
            tracing::info!(keys, "a new configuration is in force");
        }
    }
}

fn refused(faults: &[Fault]) {
    for fault in faults {
        tracing::error!(%fault, "configuration");
    }
    tracing::error!(faults = faults.len(), "the new configuration was refused; the old one stays in force");
    telemetry::config::loaded(false, SystemTime::now());
}

async fn quiet(interval: Duration) {
    if interval.is_zero() { pending().await } else { sleep(interval).await }
}
