//! Which history is under test, and what it promises when something breaks.

/// `history.kind` of the replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    Memory,
    Stream,
}

/// What must be true of a browser's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Every confirmed message once and in order, and no gap.
    Everything,
    /// As `Everything`, except that one gap may stand where messages are really gone.
    OneGap,
    /// Between two gaps every message once and in order; what is missing has a gap in its place.
    GapsCover,
}

impl History {
    /// The one that this run is about.
    pub fn under_test() -> Self {
        match std::env::var("COTTONTAIL_TEST_HISTORY") {
            Ok(kind) => Self::named(&kind),
            Err(_) => Self::named(default_kind().as_str()),
        }
    }

    fn named(kind: &str) -> Self {
        match kind {
            "memory" => Self::Memory,
            "stream" => Self::Stream,
            other => panic!("no history is called {other:?}"),
        }
    }

    /// The promise where a stream keeps everything.
    pub fn keeps_everything(self) -> Promise {
        match self {
            Self::Memory => Promise::GapsCover,
            Self::Stream => Promise::Everything,
        }
    }

    /// The promise where even a stream cannot give what is gone.
    pub fn may_have_one_gap(self) -> Promise {
        match self {
            Self::Memory => Promise::GapsCover,
            Self::Stream => Promise::OneGap,
        }
    }

    /// Lines of the `[history]` section.
    pub fn settings(self, stream: &str) -> String {
        match self {
            Self::Memory => "kind = \"memory\"".into(),
            Self::Stream => format!("kind = \"stream\"\nstream = \"{stream}\"\ndeclare = true"),
        }
    }
}

/// `config.toml` says every default.
fn default_kind() -> String {
    let defaults: toml::Table = include_str!("../../config.toml").parse().expect("it is TOML");
    defaults["history"]["kind"].as_str().expect("a word").to_owned()
}
