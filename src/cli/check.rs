//! `check`: every fault of the configuration at once, the rooms' own included, or one line on what would run.

use std::io::{self, Write};

use crate::app::Plan;
use crate::config::Sources;
use crate::setting::Fault;

/// The exit code of a configuration that cannot run, for every command.
pub const FAULTY: u8 = 2;

/// Checks and says so: faults and warnings to `problems`, the summary to `out`. Returns the exit code.
pub fn check(sources: &Sources, out: &mut impl Write, problems: &mut impl Write) -> io::Result<u8> {
    match Plan::load(sources) {
        Ok(plan) => {
            for warning in plan.warnings() {
                writeln!(problems, "warning: {warning}")?;
            }
            writeln!(out, "{}", summary(&plan))?;
            Ok(0)
        }
        Err(faults) => {
            list(&faults, problems)?;
            Ok(FAULTY)
        }
    }
}

/// One line a fault, and their number when there are several.
pub fn list(faults: &[Fault], problems: &mut impl Write) -> io::Result<()> {
    for fault in faults {
        writeln!(problems, "error: {fault}")?;
    }
    if faults.len() > 1 {
        writeln!(problems, "{} faults; nothing was started", faults.len())?;
    }
    Ok(())
}

fn summary(plan: &Plan) -> String {
    let config = plan.config();
    let keys = config.auth.api_key.len();
    let keys = if keys == 0 { String::new() } else { format!(", {}", count(keys, "API key")) };
    format!(
        "ok: exchange `{}`, {} with {}, {}, {}{keys}",
        config.broker.exchange.escape_debug(),
        count(config.mapping.len(), "mapping"),
        count(plan.binding_keys().len(), "binding key"),
        count(config.endpoint.len(), "endpoint"),
        count(config.auth.issuer.len(), "issuer"),
    )
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn check_text(text: &str) -> (u8, String, String) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cottontail.toml");
        fs::write(&file, text).unwrap();
        let (mut out, mut problems) = (Vec::new(), Vec::new());
        let sources = Sources { file: Some(file), ..Sources::default() };
        let code = check(&sources, &mut out, &mut problems).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(problems).unwrap())
    }

    #[test]
    fn a_sound_configuration_is_summed_up_in_one_line() {
        let (code, out, problems) = check_text(
            "[[auth.issuer]]\nalgorithms = [\"HS256\"]\nsecret = \"0123456789abcdef0123456789abcdef\"\n\
             [[mapping]]\nrouting_key = \"user.{user}.#\"\nuser = \"{user}\"\n",
        );
        assert_eq!((code, problems.as_str()), (0, ""));
        assert_eq!(out, "ok: exchange `events`, 1 mapping with 1 binding key, 1 endpoint, 1 issuer\n");
    }

    #[test]
    fn a_mapping_that_nothing_reaches_is_a_warning_with_its_place() {
        let all = "[[mapping]]\nrouting_key = \"#\"\neveryone = true\n";
        let (code, _, problems) = check_text(&format!("auth.anonymous = true\n{all}{all}"));
        assert_eq!(code, 0, "{problems}");
        assert!(problems.starts_with("warning: mapping.1"), "{problems}");
        assert!(problems.ends_with("cottontail.toml)\n"), "{problems}");
    }

    #[test]
    fn faults_of_the_rooms_stand_beside_those_of_values() {
        let (code, _, problems) = check_text(
            "[broker]\nprefetch = 1\n[[auth.issuer]]\nalgorithms = [\"HS999\"]\n\
             [[mapping]]\nrouting_key = \"{a\"\nuser = \"x\"\n",
        );
        assert_eq!(code, 2);
        for key in ["broker.prefetch", "auth.issuer.0.algorithms.0", "mapping.0.routing_key"] {
            assert!(problems.contains(&format!("error: {key}: ")), "{problems}");
        }
    }

    #[test]
    fn every_fault_is_listed_and_the_exit_code_is_2() {
        let (code, out, problems) = check_text("[broker]\nexchnage = \"x\"\nprefetch = 1\n");
        assert_eq!((code, out.as_str()), (2, ""));
        let lines: Vec<&str> = problems.lines().collect();
        assert!(lines[0].starts_with("error: broker.exchnage: there is no such setting"), "{problems}");
        assert!(lines[0].ends_with("cottontail.toml)"), "{problems}");
        for key in ["broker.prefetch", "auth.issuer", "mapping"] {
            assert!(problems.contains(&format!("error: {key}: ")), "{problems}");
        }
        assert_eq!(lines.last(), Some(&"4 faults; nothing was started"));
    }
}
