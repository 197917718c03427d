//! The live events of one viewer, as `text/event-stream`.

use crate::answer::{self, Answer};
use crate::limits::PIECES_WAITING_MAX;
use crate::messages::Shown;
use crate::site::{Rights, Site};
use crate::state::{Event, Reader, event};
use http_body_util::Either;
use http_body_util::channel::{Channel, Sender};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// The first event, which comes again when the viewer's rights change.
#[derive(Serialize)]
struct Hello {
    version: &'static str,
    rights: Rights,
    form_token: Option<String>,
    messages: Vec<Shown>,
}

#[derive(Serialize)]
struct Missed {
    events: u64,
}

/// Answers with events until the viewer is gone. `cookies` names its session.
pub fn serve(site: &Arc<Site>, cookies: String) -> Answer {
    let Some(place) = site.take_viewer_place() else {
        return answer::line(StatusCode::SERVICE_UNAVAILABLE, "too many viewers; try again later");
    };
    let (sender, body) = Channel::new(PIECES_WAITING_MAX);
    // Before the answer: a viewer that has its head gets each event from then on.
    let events = site.state.subscribe();
    let site = Arc::clone(site);
    tokio::spawn(async move {
        let _place = place;
        send(&site, &cookies, events, sender).await;
    });
    answer::with(StatusCode::OK, HeaderValue::from_static("text/event-stream"), Either::Right(body))
}

/// Sends events until the viewer is gone. It checks the viewer's rights before each event. The counters are sent each
/// second, or within [`ANSWER_MS_MAX`](crate::limits::ANSWER_MS_MAX) more if the hub answers late.
async fn send(site: &Arc<Site>, cookies: &str, mut events: Receiver<Event>, mut viewer: Sender<Bytes>) {
    let mut last = None;
    let mut _reader = None;
    loop {
        let rights = site.rights(cookies);
        if last != Some(rights) {
            last = Some(rights);
            _reader = rights.reads.then(|| Reader::new(&site.state));
            if viewer.send_data(hello(site, cookies, rights)).await.is_err() {
                return;
            }
        }
        let bytes = match events.recv().await {
            Ok(event) if event.is_private && !site.rights(cookies).reads => continue,
            Ok(event) => event.bytes,
            Err(RecvError::Lagged(events)) => event("missed", &Missed { events }),
            Err(RecvError::Closed) => return,
        };
        if viewer.send_data(bytes).await.is_err() {
            return;
        }
    }
}

fn hello(site: &Site, cookies: &str, rights: Rights) -> Bytes {
    let hello = Hello {
        version: env!("CARGO_PKG_VERSION"),
        rights,
        form_token: site.session(cookies).map(|session| session.form_token),
        messages: if rights.reads { site.state.messages() } else { Vec::new() },
    };
    event("hello", &hello)
}
