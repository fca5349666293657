//! One thing that the doctor has to say, and how it is printed.

use std::io::{self, Write};
use std::time::Duration;

use super::remedy::Remedy;

/// How much it matters; faults are printed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// Events come late, not at all, or are lost.
    Fault,
    /// Worth knowing.
    Note,
}

/// A sentence or two, and what to change. Holds nothing of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) weight: Weight,
    pub(super) sentence: String,
    pub(super) remedy: Option<Remedy>,
}

impl Finding {
    pub(super) fn fault(sentence: impl Into<String>, remedy: Remedy) -> Self {
        Self { weight: Weight::Fault, sentence: sentence.into(), remedy: Some(remedy) }
    }

    /// A fault that no proxy's setting mends.
    pub(super) fn plain(sentence: impl Into<String>) -> Self {
        Self { weight: Weight::Fault, sentence: sentence.into(), remedy: None }
    }

    pub(super) fn note(sentence: impl Into<String>, remedy: Option<Remedy>) -> Self {
        Self { weight: Weight::Note, sentence: sentence.into(), remedy }
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let name = match self.weight {
            Weight::Fault => "fault",
            Weight::Note => "note",
        };
        writeln!(out, "{name}: {}", self.sentence)?;
        for (proxy, setting) in self.remedy.iter().flat_map(|remedy| remedy.settings()) {
            writeln!(out, "    {proxy}: {setting}")?;
        }
        Ok(())
    }
}

/// A time as people say it.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
