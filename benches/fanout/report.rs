//! Medians of the valid runs and the Markdown tables made of them.

use std::fmt::Write as _;

use crate::scenario::{Column, Plan, Scenario};

/// The runs of one server in one scenario.
pub struct Row {
    pub plan: Plan,
    /// The figures of each valid run.
    pub valid: Vec<Vec<f64>>,
    pub runs: usize,
}

impl Row {
    fn medians(&self) -> Option<Vec<f64>> {
        let columns = self.valid.first()?.len();
        Some((0..columns).map(|column| median(self.valid.iter().map(|run| run[column]).collect())).collect())
    }

    pub fn name(&self) -> &'static str {
        self.plan.load.role.as_str()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

fn ratio(figure: f64, limit: f64) -> String {
    if limit > 0.0 { format!("× {:.2}", figure / limit) } else { "–".into() }
}

/// One line for one run.
pub fn line(columns: &[Column], figures: &[f64]) -> String {
    let cells: Vec<String> = columns
        .iter()
        .zip(figures)
        .map(|(Column(name, decimals), figure)| format!("{name} {figure:.decimals$}"))
        .collect();
    cells.join(", ")
}

/// The table of one scenario; the last row is the last contestant over the first.
pub fn table(scenario: &Scenario, rows: &[Row]) -> String {
    let mut text = format!("### {}\n\n", scenario.title);
    if let Some(Row { plan, .. }) = rows.first() {
        let _ = writeln!(text, "{plan}. CPU and bytes are per delivery unless said otherwise.\n");
    }
    let names: Vec<&str> = scenario.columns.iter().map(|Column(name, _)| *name).collect();
    let _ = writeln!(text, "| server | threads | {} | valid runs |", names.join(" | "));
    let _ = writeln!(text, "|---|---|{}---|", "---|".repeat(names.len()));
    for row in rows {
        let cells: Vec<String> = match row.medians() {
            Some(medians) => {
                scenario.columns.iter().zip(medians).map(|(Column(_, decimals), m)| format!("{m:.decimals$}")).collect()
            }
            None => names.iter().map(|_| "–".to_owned()).collect(),
        };
        let (valid, runs) = (row.valid.len(), row.runs);
        let _ =
            writeln!(text, "| {} | {} | {} | {valid}/{runs} |", row.name(), row.plan.load.threads, cells.join(" | "));
    }
    if let [first, .., last] = rows
        && let (Some(limit), Some(medians)) = (first.medians(), last.medians())
    {
        let cells: Vec<String> = medians.iter().zip(&limit).map(|(median, limit)| ratio(*median, *limit)).collect();
        let _ = writeln!(text, "| {} / {} | | {} | |", last.name(), first.name(), cells.join(" | "));
    }
    text
}
