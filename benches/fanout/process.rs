//! A server process as the benchmark sees it: started in a role, commanded by lines, its processes measured.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command as Process, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::control::{Command, Published, Reply};
use crate::cores::Cores;
use crate::failure::Failure;
use crate::options::Role;
use crate::proc::{self, Cpu};
use crate::session::Load;

/// Time for a server to start to listen; a broker takes a while.
const START: Duration = Duration::from_secs(100);
/// Time for a server to end by itself, its own processes included.
const END: Duration = Duration::from_secs(5);
const NODE: &str = include_str!("server/node.js");

/// A running server; it is ended when this is dropped.
pub struct ServerProcess {
    role: Role,
    child: Child,
    stdin: Option<ChildStdin>,
    replies: Receiver<Result<Reply, Failure>>,
    pub address: SocketAddr,
}

impl ServerProcess {
    /// Starts the server of `load` and waits until it listens.
    pub fn start(load: &Load) -> Result<Self, Failure> {
        let role = load.role;
        let mut child = command(load)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
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
        // Built before the wait, so that a server that does not start is ended too.
        let mut server = Self { role, child, stdin, replies, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        match server.replies.recv_timeout(START) {
            Ok(Ok(Reply::Listening(address))) => server.address = address,
            Ok(Err(failure)) => return Err(failure),
            Ok(Ok(Reply::Done(_))) => return Err(Failure::Protocol("done before it listened".into())),
            Err(RecvTimeoutError::Timeout) => return Err(Failure::Server("does not listen".into())),
            Err(RecvTimeoutError::Disconnected) => return Err(Failure::Server("ended at its start".into())),
        }
        Ok(server)
    }

    /// Moves the server to these processors.
    pub fn keep_on(&self, cores: &Cores) -> Result<(), Failure> {
        self.measured()?.into_iter().try_for_each(|process| Ok(cores.take(process)?))
    }

    pub fn tell(&mut self, command: Command) -> Result<(), Failure> {
        let stdin = self.stdin.as_mut().expect("open until drop");
        Ok(writeln!(stdin, "{command}")?)
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
        Ok(proc::cpu(&self.measured()?))
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> Result<u64, Failure> {
        proc::resident(&self.measured()?)
    }

    /// Of a peer that is published to from outside, its processes without our publisher; of every other server, its process.
    fn measured(&self) -> Result<Vec<u32>, Failure> {
        let process = self.child.id();
        if self.role.is_published_to_from_outside() { proc::descendants(process) } else { Ok(vec![process]) }
    }
}

/// This binary again, except for what is no program of ours.
fn command(load: &Load) -> Result<Process, Failure> {
    let Load { role, threads, inject, .. } = *load;
    if role == Role::Node {
        let mut process = Process::new("node");
        process.args(["-e", NODE]);
        return Ok(process);
    }
    let mut process = Process::new(std::env::current_exe()?);
    process.args([
        "--role",
        role.as_str(),
        "--threads",
        &threads.to_string(),
        "--key",
        &load.signing.key()?.to_string(),
    ]);
    if let Some(inject) = inject {
        process.args(["--inject", inject.as_str()]);
    }
    Ok(process)
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // The end of its standard input tells it to end.
        drop(self.stdin.take());
        let start = Instant::now();
        while start.elapsed() < END && matches!(self.child.try_wait(), Ok(None)) {
            thread::park_timeout(Duration::from_millis(5));
        }
        // Both fail only for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
