//! The command line of the benchmark, and of its server processes.

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};

/// Compares Cottontail as a reverse proxy with others in front of the same application.
#[derive(Clone, Debug, Parser)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[command(name = "proxy", bin_name = "cargo bench --bench proxy --")]
pub struct Options {
    /// Three interleaved rounds of a second each; the default
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,
    /// Seven interleaved rounds of three seconds each
    #[arg(long)]
    pub full: bool,
    /// Interleaved rounds, of which the medians are shown [default: the profile's]
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Measured seconds of each server and load in a round, after a warm-up of a quarter of it [default: the profile's]
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Worker threads of each proxy, on as many processors
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Keep-alive connections of the browsers
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
    /// Compare only these servers
    #[arg(long, value_enum, value_delimiter = ',')]
    pub servers: Vec<Role>,
    /// Check that the benchmark notices wrong answers, and do nothing else
    #[arg(long)]
    pub self_check: bool,

    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    pub bench: bool,
    /// Be a server process
    #[arg(long, value_enum, hide = true)]
    pub role: Option<Role>,
    /// What a proxy stands in front of
    #[arg(long, hide = true)]
    pub upstream: Option<SocketAddr>,
}

/// A server that browsers talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// The application itself, without a proxy
    Direct,
    Nginx,
    Haproxy,
    Cottontail,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Direct, Self::Nginx, Self::Haproxy, Self::Cottontail];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Cottontail => "cottontail",
        }
    }

    /// The program that must be installed, and the Debian package that brings it.
    pub fn needs(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Nginx => Some(("/usr/sbin/nginx", "nginx")),
            Self::Haproxy => Some(("/usr/sbin/haproxy", "haproxy")),
            Self::Direct | Self::Cottontail => None,
        }
    }
}
