//! Which topic each event goes to and which topic each stream wants. Pure arithmetic, the same on both sides.

use std::str::FromStr;

use crate::failure::Failure;
use crate::payload::{Kind, Topic};

/// What the topics are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Channels,
    /// A stream each.
    Users,
    /// Topic 0 is a channel, every other topic a user with one stream; all other streams are the channel's.
    Mixed,
}

/// Topics and streams. Events go to the topics in turn, so that in each turn every stream gets one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub shape: Shape,
    /// From 1 to `streams`.
    pub topics: u32,
    pub streams: u32,
}

impl Shape {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Channels => "channels",
            Self::Users => "users",
            Self::Mixed => "mixed",
        }
    }

    /// The topic of this number.
    pub fn topic(self, number: u32) -> Topic {
        let kind = match (self, number) {
            (Self::Channels, _) | (Self::Mixed, 0) => Kind::Channel,
            (Self::Users | Self::Mixed, _) => Kind::User,
        };
        Topic { kind, number }
    }
}

impl FromStr for Shape {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        [Self::Channels, Self::Users, Self::Mixed]
            .into_iter()
            .find(|shape| shape.as_str() == text)
            .ok_or_else(|| Failure::Protocol(format!("no shape: {text}")))
    }
}

impl Layout {
    /// The topic that the stream of this number wants.
    pub fn topic_of_stream(&self, stream: u32) -> Topic {
        let number = match self.shape {
            Shape::Channels | Shape::Users => stream % self.topics,
            Shape::Mixed if stream + 1 < self.topics => stream + 1,
            Shape::Mixed => 0,
        };
        self.shape.topic(number)
    }

    /// Of the first `events` events, how many go to topic `topic`.
    pub fn events_of(&self, events: u64, topic: u32) -> u64 {
        let topics = u64::from(self.topics);
        events / topics + u64::from(u64::from(topic) < events % topics)
    }

    /// Deliveries that the first `events` events must make.
    pub fn deliveries(&self, events: u64) -> u64 {
        (0..self.topics).map(|topic| self.events_of(events, topic) * u64::from(self.streams_of(topic))).sum()
    }

    fn streams_of(&self, topic: u32) -> u32 {
        match (self.shape, topic) {
            (Shape::Channels | Shape::Users, _) => {
                self.streams / self.topics + u32::from(topic < self.streams % self.topics)
            }
            (Shape::Mixed, 0) => self.streams + 1 - self.topics,
            (Shape::Mixed, _) => 1,
        }
    }
}
