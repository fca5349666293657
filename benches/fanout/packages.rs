//! Which of the servers under test are installed, and in which version.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::options::Role;
use crate::server::nchan;

/// What must be there for `role`, and the Debian packages that bring it.
fn needs(role: Role) -> (&'static [&'static str], &'static str) {
    match role {
        Role::Bare | Role::BareMerged | Role::Cottontail => (&[], ""),
        Role::Nchan => (&["/usr/sbin/nginx", nchan::MODULE], "nginx libnginx-mod-nchan"),
        Role::Node => (&["/usr/bin/node"], "nodejs"),
        Role::Pushpin => (&["/usr/bin/pushpin", "/usr/bin/condure", "/usr/bin/zurl"], "pushpin"),
        Role::CottontailRabbitmq => (&["/usr/lib/rabbitmq/bin/rabbitmq-server"], "rabbitmq-server"),
    }
}

/// The packages to install before `role` can be measured.
pub fn missing(role: Role) -> Option<&'static str> {
    let (files, packages) = needs(role);
    files.iter().any(|file| !Path::new(file).exists()).then_some(packages)
}

/// The version of the program that `role` stands for, as its package or itself says it.
pub fn version(role: Role) -> Option<String> {
    let (program, arguments): (_, &[&str]) = match role {
        Role::Bare | Role::BareMerged | Role::Cottontail => return None,
        Role::Node => ("node", &["--version"]),
        Role::Nchan => ("dpkg-query", &["-Wf", "${Version}", "libnginx-mod-nchan"]),
        Role::Pushpin => ("dpkg-query", &["-Wf", "${Version}", "pushpin"]),
        Role::CottontailRabbitmq => ("dpkg-query", &["-Wf", "${Version}", "rabbitmq-server"]),
    };
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!version.is_empty()).then_some(version)
}
