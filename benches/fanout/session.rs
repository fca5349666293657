//! One run: a fresh server process, its open streams, commands to publish and what was measured meanwhile.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Account, Generator, Wanted};
use crate::clock;
use crate::control::{Command, Pace, Published};
use crate::cores::Division;
use crate::failure::Failure;
use crate::layout::{Layout, Shape};
use crate::options::{Inject, Role};
use crate::payload::{Kind, Topic};
use crate::proc::Cpu;
use crate::process::ServerProcess;
use crate::signing::Signing;
use crate::storm::Storm;
use crate::target;

const PATIENCE_TO_OPEN: Duration = Duration::from_secs(60);
/// Nothing arrived for so long: what is missing is lost.
const PATIENCE_TO_RECEIVE: Duration = Duration::from_secs(5);
/// How often progress is looked at; the precision of a window's end.
const GLANCE: Duration = Duration::from_micros(500);
/// For a peer to subscribe the streams whose heads it has sent.
const SETTLING: Duration = Duration::from_millis(500);
/// For events that nobody expects any more.
const LINGER: Duration = Duration::from_millis(100);

/// Who is loaded with what.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub role: Role,
    /// Threads of the server.
    pub threads: usize,
    /// Where the parts run, if not everywhere.
    pub division: Option<Division>,
    /// The streams' tokens, where the server looks at them.
    pub signing: Signing,
    pub layout: Layout,
    /// Threads that read streams; in a mixed layout the users' streams have one more.
    pub generators: usize,
    pub unanswered: usize,
    pub inject: Option<Inject>,
}

/// A window in which events were published: from the command until the last of them had arrived.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub deliveries: u64,
    pub wall: Duration,
    /// What the streams received, framing and heartbeats included.
    pub bytes: u64,
    /// Of the server process.
    pub cpu: Cpu,
    /// The part of it that the publishing and the commands took.
    pub publisher_cpu: Duration,
    /// The share of its time that the generator's busiest thread was on a processor; near 1 it was the limit.
    pub generator_busy: f64,
}

pub struct Session {
    load: Load,
    server: ServerProcess,
    generator: Option<Generator>,
    published: Published,
}

impl Session {
    /// Starts the server; no stream is open yet.
    pub fn start(load: Load) -> Result<Self, Failure> {
        let server = ServerProcess::start(&load)?;
        if let Some(division) = &load.division {
            server.keep_on(&division.server)?;
        }
        Ok(Self { load, server, generator: None, published: Published::default() })
    }

    pub fn server(&self) -> &ServerProcess {
        &self.server
    }

    /// Opens all streams and returns the time that took, requests not counted.
    pub fn open(&mut self) -> Result<Duration, Failure> {
        let load = &self.load;
        let parts = parts(load, self.server.address)?;
        let unanswered = (load.unanswered / parts.len()).max(1);
        let start = Instant::now();
        let kept = load.division.map(|division| division.browsers.keep()).transpose()?;
        let generator = Generator::open(self.server.address, target::opening(load.role), parts, unanswered);
        drop(kept);
        generator.wait_open(PATIENCE_TO_OPEN)?;
        self.generator = Some(generator);
        let time = start.elapsed();
        if load.role.is_peer() {
            // Their head does not say that the stream is subscribed already.
            thread::park_timeout(SETTLING);
        }
        Ok(time)
    }

    /// Starts to open `streams` others, which get no events.
    pub fn storm(&self, streams: u32) -> Result<Storm, Failure> {
        let Load { role, division, signing, layout, unanswered, .. } = self.load;
        let topic = Topic { kind: Kind::Channel, number: layout.topics };
        let request = |stream| target::request(role, signing, self.server.address, topic, layout.streams + stream);
        let requests = (0..streams).map(request).collect::<Result<Vec<_>, _>>()?;
        let wanted = requests.into_iter().map(|request| Wanted { topic, request }).collect();
        let cores = division.map(|division| division.beside);
        Ok(Storm::start(self.server.address, target::opening(role), wanted, unanswered, cores))
    }

    /// Publishes for `time` and waits until every event has arrived or nothing arrives any more.
    pub fn publish(&mut self, pace: Pace, time: Duration) -> Result<Window, Failure> {
        let generator = self.generator.as_ref().ok_or_else(|| Failure::Opening("no streams are open".into()))?;
        let Layout { shape, topics, .. } = self.load.layout;
        let cpu = self.server.cpu()?;
        let (generator_cpu, received, bytes) = (generator.cpu(), generator.received(), generator.bytes());
        let start = Instant::now();
        generator.measure_from(clock::now());
        self.server.tell(Command::Publish { shape, topics, pace, time })?;
        let published = follow(&mut self.server, generator, &self.load.layout, matches!(pace, Pace::Outstanding(_)))?;
        let wall = start.elapsed();
        let window = Window {
            deliveries: generator.received() - received,
            wall,
            bytes: generator.bytes() - bytes,
            cpu: self.server.cpu()?.since(&cpu),
            publisher_cpu: published.cpu.saturating_sub(self.published.cpu),
            generator_busy: busiest(&generator_cpu, &generator.cpu()).as_secs_f64() / wall.as_secs_f64(),
        };
        self.published = published;
        Ok(window)
    }

    /// Closes the streams, ends the server and settles what was lost.
    pub fn close(mut self) -> Result<Account, Failure> {
        // An event that comes once too often comes last.
        thread::park_timeout(LINGER);
        let generator = self.generator.take().ok_or_else(|| Failure::Opening("no streams are open".into()))?;
        let reason = generator.first_end();
        let account = generator.close(|topic| self.load.layout.events_of(self.published.events, topic))?;
        if account.faults.ended > 0 {
            eprintln!("  the first stream that ended: {}", reason.unwrap_or_default());
        }
        Ok(account)
    }
}

/// The streams of each generator thread.
///
/// Where users are measured beside a crowd they have a thread of their own: behind thousands of ready sockets in one thread
/// the measurement would be the generator's own queue.
fn parts(load: &Load, address: SocketAddr) -> Result<Vec<Vec<Wanted>>, Failure> {
    let apart = load.layout.shape == Shape::Mixed;
    let mut parts: Vec<Vec<Wanted>> =
        std::iter::repeat_with(Vec::new).take(load.generators + usize::from(apart)).collect();
    for (index, stream) in (0..load.layout.streams).enumerate() {
        let topic = load.layout.topic_of_stream(stream);
        let part = if apart && topic.kind == Kind::User { load.generators } else { index % load.generators };
        parts[part].push(Wanted { topic, request: target::request(load.role, load.signing, address, topic, stream)? });
    }
    Ok(parts)
}

/// The most CPU that one of the threads used.
fn busiest(before: &[Duration], after: &[Duration]) -> Duration {
    before.iter().zip(after).map(|(before, after)| after.saturating_sub(*before)).max().unwrap_or_default()
}

/// Waits until the server has published and every event has arrived, or nothing arrives any more; meanwhile tells the
/// server of the progress if that is what it `waits` for.
fn follow(
    server: &mut ServerProcess,
    generator: &Generator,
    layout: &Layout,
    waits: bool,
) -> Result<Published, Failure> {
    let (mut told, mut received, mut moved) = (0, generator.received(), Instant::now());
    let mut done: Option<(Published, u64)> = None;
    loop {
        // Each event up to here has reached all streams of its topic, since topics take turns.
        let progress = generator.least().saturating_mul(u64::from(layout.topics));
        if waits && progress != told {
            server.tell(Command::Progress(progress))?;
            told = progress;
        }
        if done.is_none() {
            done = server.done()?.map(|published| (published, layout.deliveries(published.events)));
        }
        let so_far = generator.received();
        if so_far != received || done.is_none() {
            (received, moved) = (so_far, Instant::now());
        }
        match done {
            Some((published, deliveries)) if received >= deliveries => return Ok(published),
            Some((published, _)) if moved.elapsed() > PATIENCE_TO_RECEIVE => return Ok(published),
            _ => thread::park_timeout(GLANCE),
        }
    }
}
