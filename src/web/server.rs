//! The connections of viewers: accepts them, bounds their number, and closes those that do not read. Knows no paths.

use crate::limits::{
    CONNECTIONS_MAX, HEAD_BYTES_MAX, HEAD_FIELDS_MAX, HEAD_MS_MAX, SEND_BUFFER_BYTES, WRITE_MS_MAX,
};
use crate::places::{Place, Places};
use crate::router;
use crate::site::Site;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_io_timeout::TimeoutStream;

/// How long to wait after a failed accept, in milliseconds. If descriptors lack, connections may end meanwhile.
const ACCEPT_PAUSE_MS: u64 = 100;

/// The answer to a viewer when all places are taken.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\
content-type: text/plain\r\ncontent-length: 39\r\n\r\n\
too many connections; try again later.\n";

/// Accepts connections of one listener for ever.
pub async fn run(listener: TcpListener, site: Arc<Site>, places: Places) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => match places.take(address.ip()) {
                Some(place) => drop(tokio::spawn(serve(stream, Arc::clone(&site), place))),
                // The kernel takes the answer at once, or the viewer gets none.
                None => drop(stream.try_write(FULL)),
            },
            Err(_) => sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await,
        }
    }
}

/// The places of all listeners.
pub fn places() -> Places {
    Places::new(CONNECTIONS_MAX)
}

async fn serve(stream: TcpStream, site: Arc<Site>, _place: Place) {
    // Errors are ignored: without these options the connection takes more memory, and answers may arrive later.
    let _ = setsockopt(&stream, sockopt::SndBuf, &(SEND_BUFFER_BYTES as usize));
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(Duration::from_millis(WRITE_MS_MAX)));
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(router::answer(&site, request).await) }
    });
    // It does not matter how the connection ends.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_MS_MAX))
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEAD_FIELDS_MAX)
        .serve_connection(TokioIo::new(Box::pin(stream)), service)
        .await;
}
