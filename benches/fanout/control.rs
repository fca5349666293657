//! The lines that the benchmark and a server process exchange over its standard input and output. No sockets, no waiting.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use crate::failure::Failure;
use crate::layout::Shape;

/// What the benchmark tells a server process. Its end is the end of its standard input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command {
    /// Publish for a while, to `topics` topics in turn.
    Publish { shape: Shape, topics: u32, pace: Pace, time: Duration },
    /// Every stream has got all of the first `0` events published.
    Progress(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Events per second, on schedule whatever becomes of them.
    Rate(u64),
    /// At most this many events per topic published and not yet received everywhere.
    Outstanding(u64),
}

/// What a server process tells the benchmark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reply {
    Listening(SocketAddr),
    Done(Published),
}

/// What publishing has come to, since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Published {
    pub events: u64,
    /// CPU of the threads that publish and that read commands.
    pub cpu: Duration,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish { shape, topics, pace, time } => {
                let (word, number) = match pace {
                    Pace::Rate(number) => ("rate", number),
                    Pace::Outstanding(number) => ("window", number),
                };
                write!(f, "{word} {} {topics} {number} {}", shape.as_str(), time.as_micros())
            }
            Self::Progress(events) => write!(f, "progress {events}"),
        }
    }
}

impl FromStr for Command {
    type Err = Failure;

    fn from_str(line: &str) -> Result<Self, Failure> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["progress", events] => Ok(Self::Progress(number(events)?)),
            [word @ ("rate" | "window"), shape, topics, amount, time] => Ok(Self::Publish {
                shape: shape.parse()?,
                topics: number(topics)?,
                pace: if word == "rate" { Pace::Rate(number(amount)?) } else { Pace::Outstanding(number(amount)?) },
                time: Duration::from_micros(number(time)?),
            }),
            _ => Err(Failure::Protocol(format!("no command: {line}"))),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listening(address) => write!(f, "listening {address}"),
            Self::Done(Published { events, cpu }) => write!(f, "done {events} {}", cpu.as_micros()),
        }
    }
}

impl FromStr for Reply {
    type Err = Failure;

    fn from_str(line: &str) -> Result<Self, Failure> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["listening", address] => {
                address.parse().map(Self::Listening).map_err(|_| Failure::Protocol(format!("no address: {address}")))
            }
            ["done", events, cpu] => {
                Ok(Self::Done(Published { events: number(events)?, cpu: Duration::from_micros(number(cpu)?) }))
            }
            _ => Err(Failure::Protocol(format!("no reply: {line}"))),
        }
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| Failure::Protocol(format!("no number: {text}")))
}
