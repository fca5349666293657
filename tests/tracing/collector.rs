//! A receiver of OTLP over HTTP (`http/protobuf`) that keeps the spans it is sent; written against OpenTelemetry's protocol files.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::deadline::eventually;
use crate::support::secrecy::assert_keeps_secrets;

/// A running receiver. Dropping it checks that no span held a secret.
pub struct Collector {
    address: SocketAddr,
    exports: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    serving: JoinHandle<()>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let exports = Arc::default();
        let serving = tokio::spawn(serve(listener, Arc::clone(&exports)));
        Self { address, exports, serving }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Span> {
        let exports = self.exports.lock().unwrap();
        let resources = exports.iter().flat_map(|export| &export.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The spans for which `wanted` holds, once there are so many.
    pub async fn spans_until(&self, count: usize, wanted: impl Fn(&Span) -> bool) -> Vec<Span> {
        eventually("the spans to be exported", async || {
            let spans: Vec<_> = self.spans().into_iter().filter(&wanted).collect();
            (spans.len() >= count).then_some(spans)
        })
        .await
    }

    pub async fn span(&self, name: &str) -> Span {
        self.spans_until(1, |span| span.name == name).await.remove(0)
    }

    /// What the exporter says of itself.
    pub fn resource(&self, key: &str) -> Option<String> {
        let exports = self.exports.lock().unwrap();
        text(&exports.first()?.resource_spans.first()?.resource.as_ref()?.attributes, key)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
        if !std::thread::panicking() {
            assert_keeps_secrets("a span", &format!("{:?}", self.exports.lock().unwrap()));
        }
    }
}

async fn serve(listener: TcpListener, exports: Arc<Mutex<Vec<ExportTraceServiceRequest>>>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let exports = Arc::clone(&exports);
        tokio::spawn(async move {
            let service = service_fn(|request| take(request, &exports));
            // The program may have been killed.
            http1::Builder::new().serve_connection(TokioIo::new(socket), service).await.ok();
        });
    }
}

async fn take(
    request: Request<Incoming>,
    exports: &Mutex<Vec<ExportTraceServiceRequest>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/traces"));
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    exports.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
    Ok(Response::new(ExportTraceServiceResponse::default().encode_to_vec().into()))
}

/// An attribute as text, whichever type it has.
pub fn attribute(span: &Span, key: &str) -> Option<String> {
    text(&span.attributes, key)
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()?;
    if let Value::StringValue(text) = value {
        return Some(text.clone());
    }
    if let Value::IntValue(number) = value { Some(number.to_string()) } else { Some(format!("{value:?}")) }
}

pub fn hex(id: &[u8]) -> String {
    id.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
