//! The `[log]` section and the tracing subscriber that it asks for, both of which may change while the program runs.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::setting::Fault;

/// `[log]`: how much is logged, and in which form. Logs go to standard error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// A level, or directives as `tracing`'s `EnvFilter` reads them.
    pub level: String,
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::default() }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    Text,
    Json,
}

/// The controls of this process's logging, once it has started.
static CONTROLS: OnceLock<Controls> = OnceLock::new();

/// What `log.level` asks for; none if it is neither a level nor directives.
#[must_use]
pub fn filter(level: &str) -> Option<EnvFilter> {
    // The parser of directives panics on some texts that are not ASCII; no target of ours needs them.
    if !level.is_ascii() {
        return None;
    }
    EnvFilter::try_new(level).ok()
}

/// Starts logging for the process. Only the first call has an effect.
///
/// # Errors
/// When `log.level` is neither a level nor directives.
pub fn set_up(config: &LogConfig) -> Result<(), Fault> {
    let filter = filter(&config.level).ok_or_else(not_a_level)?;
    let (subscriber, controls) = subscriber(filter, config.format.is_json(), io::stderr);
    // An error means that a subscriber is there already, as in tests that start several programs.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        let _first = CONTROLS.set(controls);
    }
    Ok(())
}

/// Puts another `log.level` into effect at once, if logging has started.
///
/// # Errors
/// When it is neither a level nor directives; then the old one stays.
pub fn set_level(level: &str) -> Result<(), Fault> {
    let filter = filter(level).ok_or_else(not_a_level)?;
    if let Some(controls) = CONTROLS.get() {
        controls.set_filter(filter);
    }
    Ok(())
}

/// Writes what is logged from now on in another form, if logging has started.
pub fn set_format(format: LogFormat) {
    if let Some(controls) = CONTROLS.get() {
        controls.json.store(format.is_json(), Ordering::Relaxed);
    }
}

fn not_a_level() -> Fault {
    Fault::new("log.level", "expected a level such as \"info\", or directives such as \"info,cottontail=debug\"")
}

impl LogFormat {
    fn is_json(self) -> bool {
        match self {
            Self::Auto => !io::stderr().is_terminal(),
            Self::Text => false,
            Self::Json => true,
        }
    }
}

struct Controls {
    filter: reload::Handle<EnvFilter, Registry>,
    json: Arc<AtomicBool>,
}

impl Controls {
    fn set_filter(&self, filter: EnvFilter) {
        // An error means that the subscriber is gone, which the process's own never is.
        let _reloaded = self.filter.reload(filter);
    }
}

/// Both forms are there from the start, and one of them writes: a form cannot be put in place of another while spans are open.
fn subscriber<W>(filter: EnvFilter, as_json: bool, writer: W) -> (impl Subscriber + Send + Sync, Controls)
where
    W: for<'w> MakeWriter<'w> + Clone + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter);
    let is_json = Arc::new(AtomicBool::new(as_json));
    let in_form = |json: bool| Form { is_json: Arc::clone(&is_json), json };
    let text = fmt::layer().with_writer(writer.clone()).with_target(false).with_ansi(io::stderr().is_terminal());
    let objects = fmt::layer().with_writer(writer).with_target(false).json().flatten_event(true);
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(may_speak))
        .with(text.with_filter(in_form(false)))
        .with(objects.with_filter(in_form(true)));
    (subscriber, Controls { filter: handle, json: is_json })
}

/// Lets one of the two forms write.
struct Form {
    is_json: Arc<AtomicBool>,
    json: bool,
}

impl<S> Filter<S> for Form {
    fn enabled(&self, _metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        self.is_json.load(Ordering::Relaxed) == self.json
    }
}

/// Whatever `log.level` says: lapin prints passwords at `trace`, and what it has to say the broker room says in sentences;
/// below `info` other libraries may print a token as well.
fn may_speak(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    let most = match library {
        env!("CARGO_PKG_NAME") => return true,
        "lapin" | "amq_protocol" | "amq_protocol_tcp" | "amq_protocol_types" | "tcp_stream" => LevelFilter::OFF,
        _ => LevelFilter::INFO,
    };
    *metadata.level() <= most
}

#[cfg(test)]
mod tests;
