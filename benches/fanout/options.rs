//! The command line of the benchmark, and of its server processes.

use clap::{Parser, ValueEnum};

/// Compares Cottontail's fan-out with the physical limit of the socket on this machine.
#[derive(Clone, Debug, Parser)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[command(name = "fanout", bin_name = "cargo bench --bench fanout --")]
pub struct Options {
    /// What the budgets need, in less than four minutes; the default
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,
    /// Every scenario with every peer
    #[arg(long)]
    pub full: bool,
    /// What to measure, whatever the profile says
    #[arg(long, value_enum, value_delimiter = ',')]
    pub scenario: Vec<ScenarioName>,
    /// Compare these servers [default: the scenario's]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub servers: Vec<Role>,
    /// Open streams [default: the scenario's]
    #[arg(long)]
    pub streams: Option<u32>,
    /// Topics that the events go to in turn [default: the scenario's]
    #[arg(long)]
    pub topics: Option<u32>,
    /// Threads of each server [default: the scenario's]
    #[arg(long)]
    pub threads: Option<usize>,
    /// Deliveries per second where the rate is fixed [default: the scenario's]
    #[arg(long)]
    pub rate: Option<u64>,
    /// Events per topic under way at most in a closed loop; the more, the more there is to merge
    #[arg(long, default_value_t = 128)]
    pub outstanding: u64,
    /// Interleaved runs, of which the medians are shown
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Measured time of a run, after a warm-up of a quarter of it [default: 1.5, or 4 with --full]
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Threads of the load generator; 0 for half of the processors
    #[arg(long, default_value_t = 0)]
    pub generators: usize,
    /// Requests sent and not yet answered at most, over all generator threads
    #[arg(long, default_value_t = 2000)]
    pub unanswered: usize,
    /// Check that the benchmark notices lost, doubled and disordered events, and do nothing else
    #[arg(long)]
    pub self_check: bool,

    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    pub bench: bool,
    /// Be a server process
    #[arg(long, value_enum, hide = true)]
    pub role: Option<Role>,
    /// Spoil the events of a server process
    #[arg(long, value_enum, hide = true)]
    pub inject: Option<Inject>,
    /// The key whose tokens a server process takes
    #[arg(long, hide = true)]
    pub key: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScenarioName {
    /// 100,000 deliveries a second to 1,000 streams of one channel
    Fixed,
    /// The same to 10,000 streams
    #[value(name = "fixed-10k")]
    Fixed10k,
    /// As many deliveries as go, 1,000 streams of one channel, closed loop
    Saturation,
    /// The same with 10,000 streams
    #[value(name = "saturation-10k")]
    Saturation10k,
    /// 5,000 events a second, each for one of 10,000 users
    Unicast,
    /// The same with 20,000 events a second
    #[value(name = "unicast-20k")]
    Unicast20k,
    /// 100,000 deliveries a second to 1,000 channels of 10 streams
    Channels,
    /// As many deliveries as go to 1,000 channels of 10 streams
    ChannelsSaturation,
    /// 2,000 events a second, each for one of 200 users, while 10 events a second go to 10,000 streams each
    Mixed,
    /// Resident memory of idle streams, as many as descriptors allow up to 18,000
    Idle,
    /// 10,000 streams opened at once with HS256 tokens
    Storm,
    /// The same with RS256 tokens
    StormRs256,
    /// The same with ES256 tokens
    StormEs256,
    /// 100,000 deliveries a second to 1,000 streams while 10,000 others are opened with ES256 tokens, again and again
    LiveStorm,
}

/// A server under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Loops that write each event to each socket
    Bare,
    /// Loops that write all waiting events to each socket at once
    BareMerged,
    /// nginx with the nchan module
    Nchan,
    /// A hand-written endpoint in Node
    Node,
    Pushpin,
    /// Cottontail fed by a private RabbitMQ
    CottontailRabbitmq,
    /// Cottontail fed by its in-process exchange
    Cottontail,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::BareMerged => "bare-merged",
            Self::Nchan => "nchan",
            Self::Node => "node",
            Self::Pushpin => "pushpin",
            Self::CottontailRabbitmq => "cottontail-rabbitmq",
            Self::Cottontail => "cottontail",
        }
    }

    /// Whether it is somebody else's server.
    pub fn is_peer(self) -> bool {
        matches!(self, Self::Nchan | Self::Node | Self::Pushpin)
    }

    /// Whether the publisher is a process beside the server's own.
    pub fn is_published_to_from_outside(self) -> bool {
        matches!(self, Self::Nchan | Self::Pushpin)
    }
}

/// A fault put into the events on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Inject {
    Lost,
    Doubled,
    Disordered,
}

impl Inject {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Disordered => "disordered",
        }
    }
}
