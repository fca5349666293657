//! The proxies under test: a private nginx or `HAProxy` of the distribution, or the program itself without a broker.
//!
//! All have the same settings: keep-alive on both sides without a limit of requests, no access log, the `Host` of the
//! browser, and header fields that say for whom a request is made.

use std::net::SocketAddr;

use cottontail::app::{App, Plan, Source};
use cottontail::auth::{AuthConfig, IssuerConfig};
use cottontail::broker::Exchange;
use cottontail::config::Config;
use cottontail::proxy::UpstreamConfig;
use cottontail::routing::MappingConfig;
use cottontail::server::{AdminConfig, ServerConfig};
use cottontail::setting::Secret;
use cottontail::telemetry::{self, LogConfig};
use tokio::runtime::{Builder, Runtime};

use crate::daemon::{self, Daemon};
use crate::failure::Failure;

/// Connections that a proxy keeps to the application, as Cottontail does by default.
const KEPT: usize = 64;

/// nginx with `threads` worker processes, and buffers that hold an answer: by its defaults it writes large ones to files.
pub fn nginx(threads: usize, application: SocketAddr) -> Result<(SocketAddr, Daemon), Failure> {
    let directory = daemon::directory("nginx")?;
    let address = daemon::free_address()?;
    let config = format!(
        "daemon off;
         error_log stderr crit;
         pid nginx.pid;
         worker_processes {threads};
         events {{ worker_connections 4096; }}
         http {{
             access_log off;
             client_body_temp_path body;
             proxy_temp_path proxy;
             fastcgi_temp_path fastcgi;
             uwsgi_temp_path uwsgi;
             scgi_temp_path scgi;
             keepalive_requests 1000000000;
             tcp_nodelay on;
             upstream application {{
                 server {application};
                 keepalive {KEPT};
                 keepalive_requests 1000000000;
             }}
             server {{
                 listen {address} backlog=4096;
                 location / {{
                     proxy_pass http://application;
                     proxy_http_version 1.1;
                     proxy_buffer_size 32k;
                     proxy_buffers 8 32k;
                     proxy_busy_buffers_size 64k;
                     proxy_max_temp_file_size 0;
                     proxy_set_header Connection \"\";
                     proxy_set_header Host $http_host;
                     proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                     proxy_set_header X-Forwarded-Proto $scheme;
                     proxy_set_header X-Forwarded-Host $http_host;
                     proxy_set_header X-Request-Id $request_id;
                 }}
             }}
         }}\n"
    );
    let prefix = directory.path().to_string_lossy().into_owned();
    let config = daemon::write(directory.path(), "nginx.conf", &config)?;
    let arguments = ["-p", &prefix, "-e", "stderr", "-c", &config];
    Ok((address, Daemon::start(directory, "/usr/sbin/nginx", &arguments, address)?))
}

/// `HAProxy` with `threads` threads in one process.
pub fn haproxy(threads: usize, application: SocketAddr) -> Result<(SocketAddr, Daemon), Failure> {
    let directory = daemon::directory("haproxy")?;
    let address = daemon::free_address()?;
    let config = format!(
        "global
             nbthread {threads}
             maxconn 4096
         defaults
             mode http
             timeout connect 5s
             timeout client 60s
             timeout server 60s
             option http-keep-alive
             http-reuse always
         frontend browsers
             bind {address} backlog 4096
             option forwardfor
             http-request set-header X-Forwarded-Proto http
             http-request set-header X-Forwarded-Host %[req.hdr(host)]
             http-request set-header X-Request-Id %[uuid()]
             default_backend application
         backend application
             server application {application} pool-max-conn {KEPT}\n"
    );
    let config = daemon::write(directory.path(), "haproxy.cfg", &config)?;
    Ok((address, Daemon::start(directory, "/usr/sbin/haproxy", &["-db", "-f", &config], address)?))
}

/// The running program.
pub struct Program {
    app: App,
    _runtime: Runtime,
}

impl Program {
    /// The defaults with `threads` workers, except for what makes it run beside others.
    pub fn start(threads: usize, application: SocketAddr) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::Server(error.to_string());
        telemetry::set_up(&LogConfig { level: "warn".into(), ..LogConfig::default() })
            .map_err(|fault| failed(&fault))?;
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let secret = Some(Secret::new("a-secret-that-only-the-bench-has"));
        let issuer = IssuerConfig { algorithms: vec!["HS256".into()], secret, ..IssuerConfig::default() };
        let mapping = MappingConfig { routing_key: "announce.#".into(), everyone: true, ..MappingConfig::default() };
        let config = Config {
            server: ServerConfig { listen: loopback, threads, ..ServerConfig::default() },
            admin: AdminConfig { listen: loopback, ..AdminConfig::default() },
            upstream: UpstreamConfig { url: Some(format!("http://{application}")), ..UpstreamConfig::default() },
            auth: AuthConfig { issuer: vec![issuer], ..AuthConfig::default() },
            mapping: vec![mapping],
            ..Config::default()
        };
        let plan = Plan::new(config).map_err(|faults| failed(&faults[0]))?;
        let (_no_publisher, exchange) = Exchange::new(&plan.binding_keys(), 1);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let app = runtime.block_on(async { App::start(plan, Source::Exchange(exchange), None) });
        Ok(Self { app: app.map_err(|error| failed(&error))?, _runtime: runtime })
    }

    pub fn address(&self) -> SocketAddr {
        self.app.server()
    }
}
