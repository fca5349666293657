//! A server process as the benchmark sees it: this binary again in one of its roles, on processors of its own.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::cores::Cores;
use crate::failure::Failure;
use crate::options::Role;
use crate::proc::{self, Cpu};
use crate::{application, proxies};

/// Serves as `role` until standard input ends.
pub fn run(role: Role, threads: usize, upstream: Option<SocketAddr>) -> Result<(), Failure> {
    let behind = || upstream.ok_or_else(|| Failure::Protocol("a proxy without an application".into()));
    match role {
        Role::Direct => serve(application::start()?),
        Role::Nginx => proxies::nginx(threads, behind()?).and_then(|(address, _nginx)| serve(address)),
        Role::Haproxy => proxies::haproxy(threads, behind()?).and_then(|(address, _haproxy)| serve(address)),
        Role::Cottontail => {
            let program = proxies::Program::start(threads, behind()?)?;
            serve(program.address())
        }
    }
}

fn serve(address: SocketAddr) -> Result<(), Failure> {
    let mut out = io::stdout();
    writeln!(out, "{address}")?;
    out.flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A running server; it is ended when this is dropped.
pub struct Server {
    pub role: Role,
    pub address: SocketAddr,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Server {
    /// Starts `role` and waits until it listens.
    pub fn start(
        role: Role,
        threads: usize,
        upstream: Option<SocketAddr>,
        cores: Option<&Cores>,
    ) -> Result<Self, Failure> {
        let binary = std::env::current_exe()?;
        let mut command = match cores {
            Some(cores) => {
                let mut pinned = Command::new("taskset");
                pinned.args(["-c", &cores.list()]).arg(binary);
                pinned
            }
            None => Command::new(binary),
        };
        command.args(["--role", role.as_str(), "--threads", &threads.to_string()]);
        if let Some(upstream) = upstream {
            command.args(["--upstream", &upstream.to_string()]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("it was asked for");
        // Built before the wait, so that a server that does not start is ended too.
        let mut server = Self { role, address: SocketAddr::from(([127, 0, 0, 1], 0)), child, stdin };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        server.address =
            line.trim().parse().map_err(|_| Failure::Server(format!("{} ended at its start", role.as_str())))?;
        Ok(server)
    }

    /// CPU of the proxy's processes, or of the application.
    pub fn cpu(&self) -> Result<Cpu, Failure> {
        let process = self.child.id();
        let measured = match self.role {
            Role::Nginx | Role::Haproxy => proc::descendants(process)?,
            Role::Direct | Role::Cottontail => vec![process],
        };
        Ok(proc::cpu(&measured))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its standard input tells it to end.
        drop(self.stdin.take());
        // It fails only for a process that is gone already.
        let _ = self.child.wait();
    }
}
