//! Pushpin as a server under test: a private instance of the distribution's package, the origin that it asks who each
//! stream is, and publishing over its `ZeroMQ` socket.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use std::{io, thread};

use serde_json::json;

use crate::failure::Failure;
use crate::payload::{Topic, block};
use crate::server::daemon::{self, Daemon};
use crate::server::publisher::Exchange;

const START: Duration = Duration::from_secs(20);
const SETTLING: Duration = Duration::from_secs(2);
const ATTEMPT: Duration = Duration::from_secs(1);
const OPENING: &str = "retry: 2000\nid: 0\nevent: connected\ndata: {}\n\n";

pub struct Pushpin {
    address: SocketAddr,
    push: TcpStream,
    events: u64,
    _server: Daemon,
    _client: Daemon,
}

/// Starts the origin, zurl (Pushpin's way to the origin) and Pushpin, which decides itself how many threads it has.
pub fn start() -> Result<Pushpin, Failure> {
    let origin = serve_origin()?;
    let directory = daemon::directory("pushpin")?;
    let run = directory.path().to_string_lossy().into_owned();
    let [address, push, subscribe, command, http] = free_addresses()?;
    daemon::write(directory.path(), "routes", &format!("* {origin}\n"))?;
    let zurl_config = format!(
        "[General]\nin_spec=ipc://{run}/zurl-in\nin_stream_spec=ipc://{run}/zurl-in-stream\n\
         out_spec=ipc://{run}/zurl-out\nipc_file_mode=777\nmax_open_requests=-1\n\
         defpolicy=allow\n"
    );
    let zurl_config = daemon::write(directory.path(), "zurl.conf", &zurl_config)?;
    let config = format!(
        "[global]\ninclude={{libdir}}/internal.conf\nrundir={run}\nipc_prefix=pushpin-\n\
         [runner]\nservices=condure,pushpin-proxy,pushpin-handler\nhttp_port={}\nlogdir={run}\nlog_level=0\n\
         client_maxconn=50000\n\
         [proxy]\nroutesfile=routes\nzurl_out_specs=ipc://{run}/zurl-in\nzurl_out_stream_specs=ipc://{run}/zurl-in-stream\n\
         zurl_in_specs=ipc://{run}/zurl-out\n\
         [handler]\npush_in_spec=tcp://{push}\npush_in_sub_specs=tcp://{subscribe}\ncommand_spec=tcp://{command}\n\
         push_in_http_addr=127.0.0.1\npush_in_http_port={}\nmessage_rate=0\nmessage_hwm=1000000\n",
        address.port(),
        http.port(),
    );
    let config = daemon::write(directory.path(), "pushpin.conf", &config)?;
    let zurl = Daemon::spawn(daemon::directory("zurl")?, "zurl", &[&format!("--config={zurl_config}")])?;
    let pushpin = Daemon::start(directory, "pushpin", &[&format!("--config={config}")], address)?;
    wait_until_whole(address)?;
    Ok(Pushpin { address, push: connect_push(push)?, events: 0, _server: pushpin, _client: zurl })
}

/// Its parts start one by one: it listens first, refuses for a while, and holds streams at last.
fn wait_until_whole(address: SocketAddr) -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(ATTEMPT))?;
        write!(socket, "GET /events?channel=probe HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
        let mut status = [0; 12];
        if socket.read_exact(&mut status).is_ok() && status.ends_with(b" 200") {
            // It goes on closing some streams until its parts have found each other, which it does not say.
            thread::park_timeout(SETTLING);
            return Ok(());
        }
        if start.elapsed() > START {
            return Err(Failure::Server("pushpin holds no stream".into()));
        }
        thread::park_timeout(Duration::from_millis(50));
    }
}

/// Distinct, since all are held until the last is known.
fn free_addresses() -> Result<[SocketAddr; 5], Failure> {
    let listeners = [(); 5].map(|()| TcpListener::bind(("127.0.0.1", 0)));
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); 5];
    for (address, listener) in addresses.iter_mut().zip(listeners) {
        *address = listener?.local_addr()?;
    }
    Ok(addresses)
}

impl Pushpin {
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Exchange for Pushpin {
    fn publish(&mut self, to: Topic, body: String) -> Result<(), Failure> {
        let content = block(self.events, &body);
        self.events += 1;
        let item = json!({ "channel": channel(to), "formats": { "http-stream": { "content": content } } });
        // `J` says that JSON follows.
        let message = format!("J{item}").into_bytes();
        let length = message.len() as u64;
        // ZMTP 3.0 §2.2: the last frame of a message, with a length of 8 bytes.
        let frame = [&[2][..], &length.to_be_bytes(), &message].concat();
        Ok(self.push.write_all(&frame)?)
    }
}

fn channel(topic: Topic) -> String {
    format!("{}-{}", topic.kind.as_str(), topic.number)
}

/// Opens a ZMTP 3.0 connection (RFC 23/ZMTP) without security, as a PUSH socket.
fn connect_push(address: SocketAddr) -> Result<TcpStream, Failure> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let mut greeting = [0; 64];
    greeting[..12].copy_from_slice(&[0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 0]);
    greeting[12..16].copy_from_slice(b"NULL");
    socket.write_all(&greeting)?;
    socket.read_exact(&mut greeting)?;
    let ready = b"\x05READY\x0BSocket-Type\0\0\0\x04PUSH";
    let length = u8::try_from(ready.len()).expect("a short constant");
    socket.write_all(&[&[4, length][..], ready].concat())?;
    let mut head = [0; 2];
    socket.read_exact(&mut head)?;
    socket.read_exact(&mut vec![0; usize::from(head[1])])?;
    Ok(socket)
}

/// Answers every request for a stream with GRIP headers that tell Pushpin to hold it.
fn serve_origin() -> Result<SocketAddr, Failure> {
    let listener = daemon::listen()?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            // An error is Pushpin's end of the connection.
            thread::spawn(move || answer(&socket));
        }
    });
    Ok(address)
}

fn answer(socket: &TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(socket).lines();
    while let Some(request) = lines.next().transpose()? {
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        let topic = request.strip_prefix("GET /events?").and_then(|rest| rest.split_once(' '));
        let Some((topic, _)) = topic else { return Ok(()) };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nGrip-Hold: stream\r\nGrip-Channel: {}\r\n\
             Content-Length: {}\r\n\r\n{OPENING}",
            topic.replace('=', "-"),
            OPENING.len(),
        );
        let mut socket = socket;
        socket.write_all(answer.as_bytes())?;
    }
    Ok(())
}
