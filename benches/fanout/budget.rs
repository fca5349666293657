//! What Cottontail has promised itself, held against the medians.

use std::fmt::Write as _;

use crate::options::{Role, ScenarioName};
use crate::report::Table;

struct Budget {
    what: &'static str,
    scenario: ScenarioName,
    column: &'static str,
    /// The figure is Cottontail's, or its ratio to this server's.
    over: Option<Role>,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

const fn budget(what: &'static str, scenario: ScenarioName, column: &'static str, over: Role, bound: Bound) -> Budget {
    Budget { what, scenario, column, over: Some(over), bound }
}

const BUDGETS: [Budget; 10] = [
    budget(
        "CPU per delivery at 100,000/s to 1,000 streams, over bare",
        ScenarioName::Fixed,
        "µs CPU",
        Role::Bare,
        Bound::AtMost(1.2),
    ),
    budget(
        "p99 at 100,000/s to 1,000 streams, over bare",
        ScenarioName::Fixed,
        "p99 ms",
        Role::Bare,
        Bound::AtMost(1.5),
    ),
    budget(
        "Deliveries/s at saturation, 1,000 streams, over bare-merged",
        ScenarioName::Saturation,
        "deliveries/s",
        Role::BareMerged,
        Bound::AtLeast(0.7),
    ),
    budget("The same over nchan", ScenarioName::Saturation, "deliveries/s", Role::Nchan, Bound::AtLeast(8.0)),
    budget(
        "Deliveries/s at saturation, 10,000 streams, over bare-merged",
        ScenarioName::Saturation10k,
        "deliveries/s",
        Role::BareMerged,
        Bound::AtLeast(0.7),
    ),
    budget("The same over nchan", ScenarioName::Saturation10k, "deliveries/s", Role::Nchan, Bound::AtLeast(8.0)),
    Budget {
        what: "ms p99 of a user's events while a broadcast to 10,000 goes on",
        scenario: ScenarioName::Mixed,
        column: "user p99 ms",
        over: None,
        bound: Bound::AtMost(20.0),
    },
    Budget {
        what: "KB resident per idle HTTP/1.1 stream",
        scenario: ScenarioName::Idle,
        column: "KB per stream",
        over: None,
        bound: Bound::AtMost(3.0),
    },
    budget(
        "Time of 10,000 connects with HS256 tokens, over bare",
        ScenarioName::Storm,
        "s until all open",
        Role::Bare,
        Bound::AtMost(1.5),
    ),
    Budget {
        what: "p99 of 100,000 deliveries/s while streams are opened with ES256 tokens, over that without",
        scenario: ScenarioName::LiveStorm,
        column: "over calm",
        over: None,
        bound: Bound::AtMost(3.0),
    },
];

impl Budget {
    fn figure(&self, tables: &[Table<'_>]) -> Option<f64> {
        let table = tables.iter().find(|table| table.scenario.name == self.scenario)?;
        let figure = table.median(Role::Cottontail, self.column)?;
        let over = self.over.map_or(Some(1.0), |role| table.median(role, self.column))?;
        (over > 0.0).then(|| figure / over)
    }
}

/// A Markdown table of all budgets; those of the hub alone are measured by its own benchmark.
pub fn table(tables: &[Table<'_>]) -> String {
    let mut text = String::from("### Budgets\n\n| budget | bound | measured | |\n|---|---|---|---|\n");
    for budget in &BUDGETS {
        let (bound, met): (String, fn(f64, f64) -> bool) = match budget.bound {
            Bound::AtMost(bound) => (format!("≤ {bound}"), |figure, bound| figure <= bound),
            Bound::AtLeast(bound) => (format!("≥ {bound}"), |figure, bound| figure >= bound),
        };
        let (Bound::AtMost(limit) | Bound::AtLeast(limit)) = budget.bound;
        let (measured, verdict) = match budget.figure(tables) {
            Some(figure) if met(figure, limit) => (format!("{figure:.2}"), "met"),
            Some(figure) => (format!("{figure:.2}"), "**missed**"),
            None => ("–".into(), "not measured"),
        };
        let _ = writeln!(text, "| {} | {bound} | {measured} | {verdict} |", budget.what);
    }
    text
}
