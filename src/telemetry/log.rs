//! The `[log]` section and the tracing subscriber that it asks for.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

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

/// What `log.level` asks for; none if it is neither a level nor directives.
#[must_use]
pub fn filter(level: &str) -> Option<EnvFilter> {
    // The parser of directives panics on some texts that are not ASCII; no target of ours needs them.
    if !level.is_ascii() {
        return None;
    }
    // What lapin has to say the broker room says in sentences, and a dependency's trace can hold a token.
    EnvFilter::try_new(format!("lapin=off,h2=info,hyper=info,rustls=info,{level}")).ok()
}

/// Starts logging for the process. Only the first call has an effect.
pub fn set_up(config: &LogConfig) -> Result<(), Fault> {
    let filter = filter(&config.level).ok_or_else(|| {
        Fault::new("log.level", "expected a level such as \"info\", or directives such as \"info,cottontail=debug\"")
    })?;
    let json = match config.format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let outcome = if json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
    // An error means that a subscriber is there already, as in tests that start several programs.
    drop(outcome);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_read_or_refused() {
        for level in ["info", "INFO", "debug,cottontail=trace", "info,cottontail::broker=debug"] {
            assert!(filter(level).is_some(), "{level}");
        }
        for level in ["loud=very", "ä", "info,\u{a0}=debug", "a=b\u{1F407}"] {
            assert!(filter(level).is_none(), "{level}");
        }
    }
}
