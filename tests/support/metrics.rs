//! Reads the Prometheus text format as far as tests ask about it.

/// One scrape of `/metrics`.
#[derive(Clone, Debug)]
pub struct Metrics(pub String);

impl Metrics {
    /// Whether the name occurs, as itself or as one of a summary's or histogram's series.
    pub fn has(&self, name: &str) -> bool {
        self.samples().any(|(known, _, _)| {
            known.strip_prefix(name).is_some_and(|rest| ["", "_sum", "_count", "_bucket"].contains(&rest))
        })
    }

    /// The sum over all label values; 0 when the name does not occur.
    pub fn sum(&self, name: &str) -> f64 {
        self.samples().filter(|(known, _, _)| *known == name).map(|(_, _, value)| value).sum()
    }

    /// The sum over the samples that carry this label.
    pub fn sum_where(&self, name: &str, label: &str, value: &str) -> f64 {
        let wanted = format!("{label}=\"{value}\"");
        self.samples()
            .filter(|(known, labels, _)| *known == name && labels.split(',').any(|pair| pair == wanted))
            .map(|(_, _, value)| value)
            .sum()
    }

    /// Name, the text between the braces, and value of each sample.
    fn samples(&self) -> impl Iterator<Item = (&str, &str, f64)> {
        self.0.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            Some((name, labels.trim_end_matches('}'), value.parse().ok()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_name_and_label() {
        let metrics = Metrics("# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"2\"} 4\n\nb_count 5\nbb 6\n".into());
        assert!(metrics.has("a") && metrics.has("b") && metrics.has("b_count"));
        assert!(!metrics.has("c"));
        assert!((metrics.sum("a") - 7.0).abs() < f64::EPSILON);
        assert!((metrics.sum_where("a", "x", "2") - 4.0).abs() < f64::EPSILON);
        assert!((metrics.sum("missing")).abs() < f64::EPSILON);
    }
}
