//! `config`: the settings in effect with their sources, and the schema of all settings; how either is made is the configuration's.

use std::io::{self, Write};

use super::args::ConfigCommand;
use super::check;
use crate::config::{self, Config};

/// Prints what was asked for to `out`, or all faults to `problems`. Returns the exit code.
pub fn config(command: &ConfigCommand, out: &mut impl Write, problems: &mut impl Write) -> io::Result<u8> {
    match command {
        ConfigCommand::Schema => out.write_all(config::schema().as_bytes())?,
        ConfigCommand::Show(args) => match Config::load(&args.sources()) {
            Ok(loaded) => out.write_all(loaded.show().as_bytes())?,
            Err(faults) => {
                check::list(&faults, problems)?;
                return Ok(check::FAULTY);
            }
        },
    }
    Ok(0)
}
