//! Makes the answer to each request.

use crate::answer::{self, Answer};
use crate::events;
use crate::limits::{BODY_BYTES_MAX, BODY_MS_MAX, SUBMISSION_MS_MAX};
use crate::login_gate::Busy;
use crate::messages::plain;
use crate::metrics::{self, Scrape};
use crate::page;
use crate::site::Site;
use crate::submission::Submission;
use constant_time_eq::constant_time_eq;
use firstline::client::{Message, Outcome};
use firstline::protocol::Priority;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout;

#[derive(Serialize)]
struct Sent {
    outcome: &'static str,
    text: String,
}

/// The answer to a request.
pub async fn answer(site: &Arc<Site>, request: Request<Incoming>) -> Answer {
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    if let Err((status, text)) = site.guard.check(&method, &path, request.headers()) {
        return answer::line(status, &text);
    }
    let is_read = matches!(method, Method::GET | Method::HEAD);
    match path.as_str() {
        "/" if is_read => page(site),
        "/events" if method == Method::GET => events::serve(site, cookies(request.headers())),
        "/history" if is_read => history(site),
        "/metrics" if is_read => metrics(site, request.headers()),
        "/login" | "/logout" | "/send" if method == Method::POST => post(site, &path, request).await,
        "/" | "/events" | "/history" | "/metrics" => not_allowed("GET"),
        "/login" | "/logout" | "/send" => not_allowed("POST"),
        _ => answer::line(
            StatusCode::NOT_FOUND,
            "there is nothing here; the page is /, the metrics are /metrics",
        ),
    }
}

fn page(site: &Site) -> Answer {
    let mut answer = answer::whole(HeaderValue::from_static("text/html; charset=utf-8"), page::HTML);
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, site.policy.clone());
    answer
}

/// The history. Its bytes hold a place until they are sent, or the viewer is gone.
fn history(site: &Site) -> Answer {
    match Arc::clone(&site.histories).try_acquire_owned() {
        Ok(place) => answer::json_with(&site.state.history(), place),
        Err(_) => answer::line(StatusCode::SERVICE_UNAVAILABLE, "too many viewers; try again later"),
    }
}

fn metrics(site: &Site, head: &HeaderMap) -> Answer {
    let scrape = {
        let known = site.state.known();
        Scrape {
            figures: known.figures.clone(),
            journal_headroom_s: known.journal_headroom_s(),
            bridge: known.bridge.clone().map(Result::ok),
            viewers: site.viewers_count(),
        }
    };
    let (text, content_type) = metrics::render(scrape, text(head, header::ACCEPT));
    answer::whole(HeaderValue::from_static(content_type), text)
}

fn not_allowed(method: &'static str) -> Answer {
    let mut answer = answer::line(StatusCode::METHOD_NOT_ALLOWED, &format!("this takes {method}"));
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(method));
    answer
}

fn cookies(head: &HeaderMap) -> String {
    text(head, header::COOKIE).to_string()
}

fn text(head: &HeaderMap, name: header::HeaderName) -> &str {
    head.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

// ---- Forms ---------------------------------------------------------------------------------------------

async fn post(site: &Arc<Site>, path: &str, request: Request<Incoming>) -> Answer {
    let cookies = cookies(request.headers());
    let form = match form(request).await {
        Ok(form) => form,
        Err(refusal) => return refusal,
    };
    if path == "/login" {
        return log_in(site, field(&form, "token")).await;
    }
    let Some(session) = site.session(&cookies) else {
        return answer::line(StatusCode::UNAUTHORIZED, "show the token first");
    };
    if !constant_time_eq(session.form_token.as_bytes(), field(&form, "form_token").as_bytes()) {
        return answer::line(StatusCode::FORBIDDEN, "the form is not of this session; load the page again");
    }
    if path == "/logout" {
        site.sessions.end(&session);
        return with_cookie(site, answer::line(StatusCode::OK, "logged out"), "", 0);
    }
    if !site.allows_send {
        return answer::line(StatusCode::FORBIDDEN, "sending is off; start firstline-web with --allow-send");
    }
    send(site, field(&form, "priority"), field(&form, "text")).await
}

/// The fields of a form.
async fn form(request: Request<Incoming>) -> Result<HashMap<String, String>, Answer> {
    if text(request.headers(), header::CONTENT_TYPE).split(';').next()
        != Some("application/x-www-form-urlencoded")
    {
        return Err(answer::line(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this takes a form"));
    }
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    let bytes: Bytes = match timeout(Duration::from_millis(BODY_MS_MAX), body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            return Err(answer::line(StatusCode::PAYLOAD_TOO_LARGE, "the form is too long, or was cut off"));
        }
        Err(_) => return Err(answer::line(StatusCode::REQUEST_TIMEOUT, "the form does not come")),
    };
    Ok(form_urlencoded::parse(&bytes).into_owned().collect())
}

fn field<'a>(form: &'a HashMap<String, String>, name: &str) -> &'a str {
    form.get(name).map_or("", String::as_str)
}

async fn log_in(site: &Site, given: &str) -> Answer {
    let Some(token) = &site.viewer_token else {
        let text = "there is no token for viewers; start firstline-web with --viewer-token-file";
        return answer::line(StatusCode::FORBIDDEN, text);
    };
    let is_right = || constant_time_eq(&token.line(), format!("/auth {}\n", given.trim()).as_bytes());
    match site.login_gate.check(is_right).await {
        Ok(true) => {}
        Ok(false) => return answer::line(StatusCode::FORBIDDEN, "wrong token"),
        Err(Busy) => {
            let text = "too many tokens wait to be checked; try again later";
            return answer::line(StatusCode::SERVICE_UNAVAILABLE, text);
        }
    }
    match site.sessions.begin(Instant::now()) {
        Ok(session) => with_cookie(
            site,
            answer::line(StatusCode::OK, "logged in"),
            &session.id,
            crate::limits::SESSION_S,
        ),
        Err(_) => answer::line(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the system has no random numbers; try again later",
        ),
    }
}

fn with_cookie(site: &Site, mut answer: Answer, id: &str, seconds: u64) -> Answer {
    let name = site.sessions.cookie();
    let cookie = format!("{name}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict");
    // An ID is hexadecimal.
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    answer
}

async fn send(site: &Site, priority: &str, text: &str) -> Answer {
    let priority = match priority.as_bytes() {
        [digit] => Priority::from_digit(*digit),
        _ => None,
    };
    let Some(priority) = priority else {
        return answer::line(StatusCode::BAD_REQUEST, "a priority is 0 to 9");
    };
    let message = match Message::new(priority, text) {
        Ok(message) => message,
        Err(why) => return answer::line(StatusCode::BAD_REQUEST, &why.to_string()),
    };
    let (outcome, awaited) = oneshot::channel();
    if !site.submitter.submit(Submission { message, outcome }) {
        return told(Outcome::NotSent("too many messages wait; send it again later".to_string()));
    }
    let outcome = timeout(Duration::from_millis(SUBMISSION_MS_MAX), awaited).await.ok().and_then(Result::ok);
    told(outcome.unwrap_or_else(|| Outcome::Unknown("the hub does not answer".to_string())))
}

fn told(outcome: Outcome) -> Answer {
    let (status, outcome, text) = match outcome {
        Outcome::Acknowledged(receipt) => (StatusCode::OK, "acknowledged", receipt.to_string()),
        Outcome::Refused(reason) => (StatusCode::UNPROCESSABLE_ENTITY, "refused", reason.to_string()),
        Outcome::Unknown(reason) => (StatusCode::GATEWAY_TIMEOUT, "unknown", reason),
        Outcome::NotSent(reason) => (StatusCode::SERVICE_UNAVAILABLE, "not sent", reason),
    };
    answer::json(status, &Sent { outcome, text: plain(&text) })
}
