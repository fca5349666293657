//! The table of what was measured, and whether it is within its budget.

/// One line: what, the figure, and the budget if there is one.
#[derive(Clone, Debug)]
pub struct Row {
    pub what: String,
    pub figure: String,
    pub budget: Option<(String, bool)>,
}

impl Row {
    pub fn new(what: impl Into<String>, figure: impl Into<String>) -> Self {
        Self { what: what.into(), figure: figure.into(), budget: None }
    }

    /// States the budget and whether it was kept.
    pub fn budget(mut self, budget: impl Into<String>, kept: bool) -> Self {
        self.budget = Some((budget.into(), kept));
        self
    }
}

/// Markdown.
pub fn render(rows: &[Row]) -> String {
    let mut lines = vec!["| what | measured | budget |".to_owned(), "|---|---|---|".to_owned()];
    lines.extend(rows.iter().map(|Row { what, figure, budget }| {
        let budget = budget
            .as_ref()
            .map_or_else(String::new, |(budget, kept)| format!("{budget}: {}", if *kept { "kept" } else { "MISSED" }));
        format!("| {what} | {figure} | {budget} |")
    }));
    lines.join("\n")
}
