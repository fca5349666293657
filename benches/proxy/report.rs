//! Medians of the valid runs, the Markdown tables made of them, and what Cottontail has promised itself.

use std::fmt::Write as _;

use crate::measure::{ALONE, Figures, LARGE, SCENARIOS, SMALL, Scenario};
use crate::options::Role;

const REQUESTS_OVER_NGINX: f64 = 0.7;
const OVERHEAD_MS: f64 = 0.3;

/// The runs of one server under one load.
pub struct Row {
    pub scenario: Scenario,
    pub role: Role,
    /// Of the valid ones.
    pub runs: Vec<Figures>,
}

pub struct Report(pub Vec<Row>);

impl Report {
    /// The tables and the budgets.
    pub fn markdown(&self, rounds: usize, connections: usize) -> String {
        let mut text = String::new();
        for scenario in SCENARIOS {
            let load = if scenario.alone { String::new() } else { format!(", {connections} connections") };
            let _ = write!(
                text,
                "### {}{load}\n\n| server | requests/s | × nginx | p50 ms | over direct | p99 ms | µs CPU | × nginx | user µs | \
                 valid runs |\n|---|{}\n",
                scenario.title,
                "---:|".repeat(9)
            );
            for row in self.0.iter().filter(|row| row.scenario == scenario) {
                self.write_row(&mut text, row, rounds);
            }
            text.push('\n');
        }
        text + &self.budgets()
    }

    fn write_row(&self, text: &mut String, row: &Row, rounds: usize) {
        let median = |figure: fn(&Figures) -> f64| self.median(row.scenario, row.role, figure);
        let over_nginx =
            |figure: fn(&Figures) -> f64| ratio(median(figure), self.median(row.scenario, Role::Nginx, figure));
        // Without a proxy it is the application's CPU.
        let proxied = row.role != Role::Direct;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {}/{rounds} |",
            row.role.as_str(),
            cell(median(|run| run.per_second), 0),
            cell(over_nginx(|run| run.per_second), 2),
            cell(median(|run| run.p50), 3),
            cell(self.overhead(row.scenario, row.role), 3),
            cell(median(|run| run.p99), 3),
            cell(median(|run| run.cpu), 1),
            cell(over_nginx(|run| run.cpu).filter(|_| proxied), 2),
            cell(median(|run| run.user), 1),
            row.runs.len(),
        );
    }

    fn budgets(&self) -> String {
        let requests = |scenario| {
            let per_second = |role| self.median(scenario, role, |run| run.per_second);
            ratio(per_second(Role::Cottontail), per_second(Role::Nginx))
        };
        // Where the machine is busy with other things, requests per second tell who was disturbed; these do not.
        let for_cpu = |scenario| {
            let cpu = |role| self.median(scenario, role, |run| run.cpu);
            ratio(cpu(Role::Nginx), cpu(Role::Cottontail))
        };
        let at_least = format!("≥ {REQUESTS_OVER_NGINX}");
        let at_most = format!("< {OVERHEAD_MS}");
        let enough: fn(f64) -> bool = |figure| figure >= REQUESTS_OVER_NGINX;
        let rows = [
            ("Requests/s with 1 KB answers, over nginx", &at_least, requests(SMALL), enough),
            ("Requests per second of CPU with 1 KB answers, over nginx", &at_least, for_cpu(SMALL), enough),
            ("Requests/s with 100 KB answers, over nginx", &at_least, requests(LARGE), enough),
            ("Requests per second of CPU with 100 KB answers, over nginx", &at_least, for_cpu(LARGE), enough),
            ("ms p50 that the way through adds", &at_most, self.overhead(ALONE, Role::Cottontail), |figure| {
                figure < OVERHEAD_MS
            }),
        ];
        let mut text = String::from("### Budgets\n\n| budget | bound | measured | |\n|---|---|---|---|\n");
        for (what, bound, figure, met) in rows {
            let verdict = match figure {
                Some(figure) if met(figure) => "met",
                Some(_) => "**missed**",
                None => "not measured",
            };
            let _ = writeln!(text, "| {what} | {bound} | {} | {verdict} |", cell(figure, 2));
        }
        text
    }

    /// Milliseconds of p50 beyond those without a proxy; the median of the rounds' differences would need all rounds valid.
    fn overhead(&self, scenario: Scenario, role: Role) -> Option<f64> {
        let direct = self.median(scenario, Role::Direct, |run| run.p50)?;
        let through = self.median(scenario, role, |run| run.p50)?;
        (role != Role::Direct).then_some(through - direct)
    }

    fn median(&self, scenario: Scenario, role: Role, figure: impl Fn(&Figures) -> f64) -> Option<f64> {
        let row = self.0.iter().find(|row| row.scenario == scenario && row.role == role)?;
        let mut values: Vec<f64> = row.runs.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = *values.get(middle)?;
        Some(if values.len() % 2 == 1 { median } else { f64::midpoint(values[middle - 1], median) })
    }
}

/// One line for one run.
pub fn line(figures: &Figures) -> String {
    let Figures { per_second, p50, p99, cpu, user } = figures;
    format!("{per_second:.0} requests/s, p50 {p50:.3} ms, p99 {p99:.3} ms, {cpu:.1} µs CPU, {user:.1} of it user")
}

fn ratio(figure: Option<f64>, over: Option<f64>) -> Option<f64> {
    figure.zip(over.filter(|over| *over > 0.0)).map(|(figure, over)| figure / over)
}

fn cell(figure: Option<f64>, decimals: usize) -> String {
    figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.decimals$}"))
}
