//! The subcommands that are not `run`.
