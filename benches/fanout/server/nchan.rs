//! nchan as a server under test: a private nginx with the distribution's module, published to over one kept connection.

use std::net::SocketAddr;

use crate::failure::Failure;
use crate::payload::{EVENT_NAME, Topic};
use crate::server::daemon::{self, Daemon};
use crate::server::post::Poster;
use crate::server::publisher::Exchange;

/// Of Debian and its descendants; the module's path is the package's.
pub const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

pub struct Nchan {
    address: SocketAddr,
    poster: Poster,
    _nginx: Daemon,
}

/// Starts nginx with `threads` workers. The buffer is short: who reads on time needs no more.
pub fn start(threads: usize) -> Result<Nchan, Failure> {
    let directory = daemon::directory("nchan")?;
    let address = daemon::free_address()?;
    let config = format!(
        "daemon off;
         error_log stderr crit;
         pid nginx.pid;
         load_module {MODULE};
         worker_processes {threads};
         events {{ worker_connections 19900; }}
         http {{
             access_log off;
             client_body_temp_path body;
             proxy_temp_path proxy;
             fastcgi_temp_path fastcgi;
             uwsgi_temp_path uwsgi;
             scgi_temp_path scgi;
             keepalive_requests 1000000000;
             keepalive_timeout 1h;
             nchan_shared_memory_size 512m;
             server {{
                 listen {address} backlog=4096;
                 location = /events {{
                     nchan_subscriber eventsource;
                     nchan_channel_id $args;
                     nchan_subscriber_first_message newest;
                 }}
                 location = /publish {{
                     nchan_publisher;
                     nchan_channel_id $args;
                     nchan_message_buffer_length 256;
                     nchan_message_timeout 10s;
                 }}
             }}
         }}\n"
    );
    let prefix = directory.path().to_string_lossy().into_owned();
    let config = daemon::write(directory.path(), "nginx.conf", &config)?;
    let nginx = Daemon::start(directory, "/usr/sbin/nginx", &["-p", &prefix, "-e", "stderr", "-c", &config], address)?;
    Ok(Nchan { address, poster: Poster::connect(address)?, _nginx: nginx })
}

impl Nchan {
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Exchange for Nchan {
    fn publish(&mut self, to: Topic, body: String) -> Result<(), Failure> {
        let path = format!("/publish?{}={}", to.kind.as_str(), to.number);
        self.poster.post(&path, &format!("X-EventSource-Event: {EVENT_NAME}\r\n"), &body)
    }
}
