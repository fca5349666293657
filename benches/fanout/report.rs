//! Medians of the valid runs and the Markdown tables made of them.

use std::fmt::Write as _;

use crate::machine;
use crate::options::Role;
use crate::packages;
use crate::scenario::{Column, Plan, Ratio, Scenario};

/// The runs of one scenario.
pub struct Table<'a> {
    pub scenario: &'a Scenario,
    pub rows: Vec<Row>,
}

/// The runs of one server in one scenario.
pub struct Row {
    pub plan: Plan,
    /// The figures of each valid run.
    pub valid: Vec<Vec<f64>>,
    pub runs: usize,
}

impl Row {
    pub fn role(&self) -> Role {
        self.plan.load.role
    }

    fn median(&self, column: usize) -> Option<f64> {
        let mut values: Vec<f64> = self.valid.iter().map(|run| run[column]).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = *values.get(middle)?;
        Some(if values.len() % 2 == 1 { median } else { f64::midpoint(values[middle - 1], median) })
    }
}

/// One line for one run.
pub fn line(columns: &[Column], figures: &[f64]) -> String {
    let cells: Vec<String> = columns
        .iter()
        .zip(figures)
        .map(|(Column(name, decimals, _), figure)| format!("{name} {figure:.decimals$}"))
        .collect();
    cells.join(", ")
}

impl Table<'_> {
    /// The median of the column named `column` over the valid runs of `role`.
    pub fn median(&self, role: Role, column: &str) -> Option<f64> {
        let column = self.scenario.columns.iter().position(|Column(name, ..)| *name == column)?;
        self.rows.iter().find(|row| row.role() == role)?.median(column)
    }

    /// The table, with each server's ratio to the limit beside the figures that matter.
    pub fn markdown(&self) -> String {
        let Scenario { title, columns, limit, .. } = self.scenario;
        let mut text = format!("### {title}\n\n");
        if let Some(Row { plan, .. }) = self.rows.first() {
            let _ = writeln!(text, "{plan}.\n");
        }
        text.push_str("| server | threads |");
        for Column(name, _, ratio) in *columns {
            let _ = write!(text, " {name} |");
            if *ratio == Ratio::Shown {
                let _ = write!(text, " × {} |", limit.as_str());
            }
        }
        let ratios = columns.iter().filter(|Column(_, _, ratio)| *ratio == Ratio::Shown).count();
        let _ = writeln!(text, " valid runs |\n|---|---|{}---|", "---:|".repeat(columns.len() + ratios));
        for row in &self.rows {
            self.write_row(&mut text, row);
        }
        text
    }

    fn write_row(&self, text: &mut String, row: &Row) {
        let Plan { load, .. } = row.plan;
        let threads = if load.role == Role::Pushpin { "its own".to_owned() } else { load.threads.to_string() };
        let _ = write!(text, "| {} | {threads} |", load.role.as_str());
        for (index, Column(name, decimals, ratio)) in self.scenario.columns.iter().enumerate() {
            let figure = row.median(index);
            let cell = |figure: Option<f64>, decimals: usize| {
                figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.decimals$}"))
            };
            let _ = write!(text, " {} |", cell(figure, *decimals));
            if *ratio == Ratio::Shown {
                let limit = self.median(self.scenario.limit, name).filter(|limit| *limit > 0.0);
                let over = figure.zip(limit).map(|(figure, limit)| figure / limit);
                let _ = write!(text, " {} |", cell(over, 2));
            }
        }
        let _ = writeln!(text, " {}/{} |", row.valid.len(), row.runs);
    }
}

/// What a reader must know before the tables: the machine and its `load` before the first run, the peers' versions, and what
/// the columns mean.
pub fn preface(tables: &[Table<'_>], load: &str) -> String {
    let machine = machine::describe();
    let mut text =
        format!("Measured on {machine}; load before: {load}. 200-byte events; medians of interleaved runs.\n");
    if load.parse().is_ok_and(|load: f64| load > 1.0) {
        text.push_str("**The machine was busy with something else: neither figures nor verdicts can be relied on.**\n");
    }
    let mut roles: Vec<Role> = tables.iter().flat_map(|table| table.rows.iter().map(Row::role)).collect();
    roles.sort_unstable_by_key(|role| role.as_str());
    roles.dedup();
    let versions: Vec<String> = roles
        .iter()
        .filter_map(|role| packages::version(*role).map(|version| format!("{} ({version})", role.as_str())))
        .collect();
    if !versions.is_empty() {
        let _ = writeln!(text, "Versions: {}.", versions.join(", "));
    }
    text.push_str(
        "\nCPU, user, publisher and bytes are per delivery; memory is resident, shared pages counted once. All processes of a \
         peer count; the publisher counts where it is in the server's process (bare, Cottontail, Node) and not where it is \
         beside it (nchan, Pushpin). RabbitMQ's own processes do not count. Pushpin's streams are opened \
         50 at a time, since it refuses more; all others' 2,000.\n",
    );
    text
}
