//! A server process as the benchmark sees it: started in a role, commanded by lines, its CPU and memory read from `/proc`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command as Process, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::control::{Command, Published, Reply};
use crate::failure::Failure;
use crate::options::{Inject, Role};

/// Time for a server to start to listen.
const START: Duration = Duration::from_secs(20);
/// `USER_HZ`, the unit of `/proc/<pid>/stat`: 100 on every Linux that Rust supports (man 5 proc).
const TICK: Duration = Duration::from_millis(10);

/// A running server; it is killed when this is dropped.
pub struct ServerProcess {
    child: Child,
    stdin: ChildStdin,
    replies: Receiver<Result<Reply, Failure>>,
    pub address: SocketAddr,
}

/// CPU used by a process since its start, in steps of 10 ms.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub user: Duration,
    pub system: Duration,
}

impl Cpu {
    pub fn total(&self) -> Duration {
        self.user + self.system
    }

    pub fn since(&self, earlier: &Self) -> Self {
        Self { user: self.user.saturating_sub(earlier.user), system: self.system.saturating_sub(earlier.system) }
    }
}

impl ServerProcess {
    /// Starts this binary again as `role` and waits until it listens.
    pub fn start(role: Role, threads: usize, inject: Option<Inject>) -> Result<Self, Failure> {
        let mut process = Process::new(std::env::current_exe()?);
        process.args(["--role", role.as_str(), "--threads", &threads.to_string()]);
        if let Some(inject) = inject {
            process.args(["--inject", inject.as_str()]);
        }
        let mut child = process.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take().expect("it was asked for");
        let stdout = child.stdout.take().expect("it was asked for");
        let (sender, replies) = sync_channel(16);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let reply = line.map_err(Failure::from).and_then(|line| line.parse());
                if sender.send(reply).is_err() {
                    break;
                }
            }
        });
        // Built before the wait, so that a server that does not start is killed too.
        let mut server = Self { child, stdin, replies, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        match server.replies.recv_timeout(START) {
            Ok(Ok(Reply::Listening(address))) => server.address = address,
            Ok(Err(failure)) => return Err(failure),
            Ok(Ok(Reply::Done(_))) => return Err(Failure::Protocol("done before it listened".into())),
            Err(RecvTimeoutError::Timeout) => return Err(Failure::Server("does not listen".into())),
            Err(RecvTimeoutError::Disconnected) => return Err(Failure::Server("ended at its start".into())),
        }
        Ok(server)
    }

    pub fn tell(&mut self, command: Command) -> Result<(), Failure> {
        Ok(writeln!(self.stdin, "{command}")?)
    }

    /// Whether the last publishing command is done; does not wait.
    pub fn done(&self) -> Result<Option<Published>, Failure> {
        match self.replies.try_recv() {
            Ok(Ok(Reply::Done(published))) => Ok(Some(published)),
            Ok(Ok(Reply::Listening(_))) | Err(TryRecvError::Empty) => Ok(None),
            Ok(Err(failure)) => Err(failure),
            Err(TryRecvError::Disconnected) => Err(Failure::Server("ended before it was told to".into())),
        }
    }

    pub fn cpu(&self) -> Result<Cpu, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field is the command in parentheses and may hold spaces; utime and stime are the 14th and 15th.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = |index| -> Result<Duration, Failure> {
            let field: Option<u32> = fields.split_whitespace().nth(index).and_then(|field| field.parse().ok());
            Ok(TICK * field.ok_or_else(|| Failure::Server("an unreadable /proc/<pid>/stat".into()))?)
        };
        Ok(Cpu { user: ticks(11)?, system: ticks(12)? })
    }

    /// Resident memory in bytes (`VmRSS`); what the kernel keeps for sockets is not in it.
    pub fn resident(&self) -> Result<u64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kilobytes: Option<u64> = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|value| value.split_whitespace().next())
            .and_then(|value| value.parse().ok());
        Ok(1024 * kilobytes.ok_or_else(|| Failure::Server("no VmRSS in /proc/<pid>/status".into()))?)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
