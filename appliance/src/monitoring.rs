//! The listener for monitoring: plain HTTP on the machine itself, metrics and health, for no camera and no person.
//!
//! It says nothing that names anybody. Whoever is to ask from elsewhere comes by way of a proxy of the operator's.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

use crate::appliance::Appliance;
use crate::health::{self, Status};

/// Scrapers are few.
const CONNECTIONS_MAX: usize = 16;
/// A scraper asks at once, and reads at once; between two scrapes it may keep its connection.
const CONNECTION_MAX: Duration = Duration::from_secs(120);
/// It is on the same machine.
const HEAD_MAX: Duration = Duration::from_secs(75);
/// When the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// See openmetrics.io.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until `draining` says otherwise.
pub fn serve(listener: TcpListener, appliance: Arc<Appliance>, mut draining: watch::Receiver<bool>) -> JoinHandle<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                _ = draining.wait_for(|draining| *draining) => return,
                accepted = listener.accept() => accepted,
            };
            let (Ok((stream, _)), Ok(place)) = (accepted, places.clone().try_acquire_owned()) else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (appliance, mut draining) = (appliance.clone(), draining.clone());
            tokio::spawn(async move {
                let _place = place;
                tokio::select! {
                    _ = timeout(CONNECTION_MAX, connection(stream, appliance)) => {}
                    _ = draining.wait_for(|draining| *draining) => {}
                }
            });
        }
    })
}

/// Where it is bound, and whether others than the machine itself reach it.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "monitoring is not only for this machine: whoever reaches it reads how the appliance is");
    }
    Ok(listener)
}

async fn connection(stream: TcpStream, appliance: Arc<Appliance>) {
    let service = service_fn(move |request| {
        let appliance = appliance.clone();
        async move { Ok::<_, Infallible>(answer(appliance, &request).await) }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(error = ?error.to_string(), "a monitoring connection broke");
    }
}

async fn answer(appliance: Arc<Appliance>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET and HEAD are answered\n".to_owned());
        answer.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let path = request.uri().path().to_owned();
    // Disks are asked.
    let answered = spawn_blocking(move || match path.as_str() {
        "/metrics" => match appliance.metrics.text(&appliance) {
            Ok(metrics) => text(StatusCode::OK, OPENMETRICS, metrics),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "the metrics could not be written\n".to_owned()),
        },
        "/healthz" => {
            let health = health::of(&appliance);
            let status = if health.status == Status::Failing { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            text(status, "application/json", serde_json::to_string(&health).unwrap_or_default())
        }
        _ => text(StatusCode::NOT_FOUND, PLAIN, "there are /metrics and /healthz\n".to_owned()),
    });
    let failed = |_| text(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "the appliance failed: try again\n".to_owned());
    answered.await.unwrap_or_else(failed)
}

const PLAIN: &str = "text/plain; charset=utf-8";

fn text(status: StatusCode, media_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    answer
}
