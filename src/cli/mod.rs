//! The command line: what may be written on it, and the subcommands that are not `run`.

mod admin;
pub mod args;
pub mod check;
pub mod config;
pub mod dev;
pub mod doctor;
pub mod drain;
pub mod explain;
mod message;
pub mod publish;
pub mod token;
