//! The scenarios as a table: numbers, no behaviour.

use super::Ratio::{Hidden, Shown};
use super::measure::{idle, live_storm, mixed, paced, saturated, storm};
use super::{Column, Scenario};
use crate::layout::Shape;
use crate::options::Role::{self, Bare, BareMerged, Cottontail, CottontailRabbitmq, Nchan, Node, Pushpin};
use crate::options::ScenarioName;
use crate::signing::Signing::{Es256, Hs256, Rs256};

const WITH_LIMIT: &[Role] = &[Bare, Cottontail];
const SATURATED: &[Role] = &[BareMerged, Nchan, Cottontail];
const EVERYBODY: &[Role] = &[Bare, Nchan, Node, Pushpin, Cottontail];
const EVERYBODY_SATURATED: &[Role] = &[Bare, BareMerged, Nchan, Node, Pushpin, Cottontail];

const PACED: &[Column] = &[
    Column("µs CPU", 2, Shown),
    Column("user µs", 2, Hidden),
    Column("publisher µs", 2, Hidden),
    Column("p50 ms", 2, Hidden),
    Column("p99 ms", 2, Shown),
    Column("p99.9 ms", 2, Hidden),
    Column("bytes", 0, Hidden),
    Column("generator busy", 2, Hidden),
];

const CLOSED: &[Column] = &[
    Column("deliveries/s", 0, Shown),
    Column("µs CPU", 3, Shown),
    Column("user µs", 3, Hidden),
    Column("publisher µs", 3, Hidden),
    Column("p99 ms", 2, Hidden),
    Column("bytes", 0, Hidden),
    Column("server busy", 2, Hidden),
    Column("generator busy", 2, Hidden),
];

const FIXED: Scenario = Scenario {
    name: ScenarioName::Fixed,
    title: "Fixed rate, one channel",
    quick: WITH_LIMIT,
    full: &[Bare, Nchan, Node, Pushpin, CottontailRabbitmq, Cottontail],
    limit: Bare,
    threads: 1,
    signing: Hs256,
    divided: false,
    columns: PACED,
    shape: Shape::Channels,
    streams: 1_000,
    topics: 1,
    rate: 100_000,
    measure: paced,
};

const SATURATION: Scenario = Scenario {
    name: ScenarioName::Saturation,
    title: "Saturation, one channel",
    quick: SATURATED,
    full: EVERYBODY_SATURATED,
    limit: BareMerged,
    threads: 2,
    signing: Hs256,
    divided: false,
    columns: CLOSED,
    shape: Shape::Channels,
    streams: 1_000,
    topics: 1,
    rate: 0,
    measure: saturated,
};

const UNICAST: Scenario = Scenario {
    name: ScenarioName::Unicast,
    title: "Events for one user each",
    quick: WITH_LIMIT,
    full: EVERYBODY,
    limit: Bare,
    threads: 1,
    signing: Hs256,
    divided: false,
    columns: PACED,
    shape: Shape::Users,
    streams: 10_000,
    topics: 0,
    rate: 5_000,
    measure: paced,
};

const STORM: Scenario = Scenario {
    name: ScenarioName::Storm,
    title: "Streams opened at once with HS256 tokens",
    quick: WITH_LIMIT,
    full: EVERYBODY,
    limit: Bare,
    threads: 2,
    signing: Hs256,
    divided: false,
    columns: &[
        Column("opened/s", 0, Shown),
        Column("s until all open", 3, Shown),
        Column("µs CPU per stream", 1, Shown),
        Column("p50 ms", 1, Hidden),
        Column("p99 ms", 1, Hidden),
    ],
    shape: Shape::Channels,
    streams: 10_000,
    topics: 1,
    rate: 0,
    measure: storm,
};

pub const SCENARIOS: [Scenario; 14] = [
    FIXED,
    Scenario {
        name: ScenarioName::Fixed10k,
        title: "Fixed rate, one channel, 10,000 streams",
        quick: &[],
        full: EVERYBODY,
        streams: 10_000,
        ..FIXED
    },
    SATURATION,
    Scenario {
        name: ScenarioName::Saturation10k,
        title: "Saturation, one channel, 10,000 streams",
        streams: 10_000,
        ..SATURATION
    },
    UNICAST,
    Scenario {
        name: ScenarioName::Unicast20k,
        title: "Events for one user each, 20,000 a second",
        quick: &[],
        rate: 20_000,
        ..UNICAST
    },
    Scenario {
        name: ScenarioName::Channels,
        title: "Fixed rate, 1,000 channels of 10 streams",
        quick: &[],
        full: EVERYBODY,
        streams: 10_000,
        topics: 1_000,
        ..FIXED
    },
    Scenario {
        name: ScenarioName::ChannelsSaturation,
        title: "Saturation, 1,000 channels of 10 streams",
        quick: &[],
        streams: 10_000,
        topics: 1_000,
        ..SATURATION
    },
    Scenario {
        name: ScenarioName::Mixed,
        title: "Users while a broadcast goes on",
        quick: WITH_LIMIT,
        full: EVERYBODY,
        limit: Bare,
        threads: 2,
        signing: Hs256,
        divided: false,
        columns: &[
            Column("user p50 ms", 2, Hidden),
            Column("user p99 ms", 2, Shown),
            Column("user p99.9 ms", 2, Hidden),
            Column("broadcast p50 ms", 2, Hidden),
            Column("broadcast p99 ms", 2, Hidden),
            Column("µs CPU", 2, Shown),
            Column("generator busy", 2, Hidden),
        ],
        shape: Shape::Mixed,
        streams: 10_200,
        topics: 201,
        rate: 102_000,
        measure: mixed,
    },
    Scenario {
        name: ScenarioName::Idle,
        title: "Idle streams over HTTP/1.1",
        quick: WITH_LIMIT,
        full: EVERYBODY,
        limit: Bare,
        threads: 1,
        signing: Hs256,
        divided: false,
        columns: &[
            Column("KB per stream", 2, Hidden),
            Column("MB before", 1, Hidden),
            Column("MB with streams", 1, Hidden),
        ],
        shape: Shape::Channels,
        streams: 18_000,
        topics: 1,
        rate: 0,
        measure: idle,
    },
    STORM,
    Scenario {
        name: ScenarioName::StormRs256,
        title: "Streams opened at once with RS256 tokens",
        signing: Rs256,
        quick: &[],
        full: WITH_LIMIT,
        ..STORM
    },
    Scenario {
        name: ScenarioName::StormEs256,
        title: "Streams opened at once with ES256 tokens",
        signing: Es256,
        quick: &[],
        full: WITH_LIMIT,
        ..STORM
    },
    Scenario {
        name: ScenarioName::LiveStorm,
        title: "Fixed rate, one channel, while others are opened with ES256 tokens",
        full: WITH_LIMIT,
        threads: 2,
        signing: Es256,
        divided: true,
        columns: &[
            Column("calm p99 ms", 2, Hidden),
            Column("p99 ms", 2, Shown),
            Column("over calm", 2, Hidden),
            Column("opened/s", 0, Shown),
        ],
        measure: live_storm,
        ..FIXED
    },
];
