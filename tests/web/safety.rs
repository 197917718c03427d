//! What another site, a hostile viewer or a hostile client of the hub can do: nothing, within the bounds of
//! `src/web/limits.rs`.

use crate::http::{Http, format, request};
use crate::support::directory::Directory;
use crate::support::{Server, allow_many_connections, eventually};
use crate::web::{Web, token_file};
use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The bounds that show outside; those of `src/web/limits.rs`.
const CONNECTIONS_MAX: usize = 192;
const VIEWERS_MAX: usize = 64;
const MEMORY_KB_MAX: u64 = 24 * 1024;

#[test]
fn name_of_another_site_that_resolves_to_this_machine_gets_nothing() {
    let (_server, web) = Web::with_hub(&[], &["--host", "dash.example.org"]);
    for path in ["/", "/events", "/history", "/metrics", "/login", "/nothing"] {
        let answer = request(web.address, "GET", path, &[("Host", "rebound.evil.example:9180")], "");
        assert_eq!(answer.status, 421, "{path}");
        assert!(answer.body.contains("--host rebound.evil.example") && answer.body.lines().count() == 1);
    }
    for host in ["dash.example.org", "localhost:9180", "pi.local", "[::1]:1"] {
        assert_eq!(request(web.address, "GET", "/", &[("Host", host)], "").status, 200, "{host}");
    }
    let mut http = Http::connect(web.address);
    http.send(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(http.answer().unwrap().status, 421, "without a name there is none");
    let mut http = Http::connect(web.address);
    http.send(b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(http.answer().unwrap().status, 421);
}

#[test]
fn form_of_another_site_is_refused_even_with_the_cookie() {
    let directory = Directory::new("web-csrf");
    let (server, web) = Web::with_hub(&[], &["--allow-send", "--viewer-token-file", &token_file(&directory)]);
    let (cookie, form_token) = web.log_in();
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    let form = format!("form_token={form_token}&priority=9&text=forged");
    let own = format!("http://{}", web.address);
    for (fields, status) in [
        (vec![("Sec-Fetch-Site", "cross-site")], 403),
        (vec![("Sec-Fetch-Site", "same-site")], 403),
        (vec![("Origin", "http://evil.example")], 403),
        (vec![("Origin", "null")], 403),
        (vec![("Sec-Fetch-Site", "same-origin"), ("Origin", "http://127.0.0.1:1")], 403),
        (vec![("Sec-Fetch-Site", "same-origin"), ("Origin", own.as_str())], 200),
    ] {
        let fields = [&[kind, ("Cookie", cookie.as_str())][..], &fields].concat();
        assert_eq!(request(web.address, "POST", "/send", &fields, &form).status, status, "{fields:?}");
    }
    // What a form of HTML can send besides.
    for kind in ["text/plain", "multipart/form-data; boundary=x", ""] {
        let fields = [("Content-Type", kind), ("Cookie", cookie.as_str())];
        assert_eq!(request(web.address, "POST", "/send", &fields, &form).status, 415, "{kind}");
    }
    assert_eq!(server.stats()["processed"], 1);
    let set = web.post("/login", "", &format!("token={}", crate::web::TOKEN)).head["set-cookie"].clone();
    assert!(set.contains("; HttpOnly") && set.contains("; SameSite=Strict"), "{set}");
}

#[test]
fn page_is_in_no_frame() {
    let (_server, web) = Web::with_hub(&[], &[]);
    let framed =
        [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")];
    assert_eq!(request(web.address, "GET", "/", &framed, "").status, 403);
    let head = web.get("/").head;
    assert!(
        head["content-security-policy"].contains("frame-ancestors 'none'")
            && head["x-frame-options"] == "DENY"
    );
}

#[test]
fn requests_without_measure_are_cut_off() {
    let (_server, web) = Web::with_hub(&[], &[]);
    let memory_before = web.status_kb("VmHWM");
    let long = "x".repeat(1 << 20);
    let fields = "X-Y: z\r\n".repeat(100);
    for (request, statuses) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"), &[414, 431][..]),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\nCookie: {long}\r\n\r\n"), &[431]),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"), &[431]),
        (long.clone(), &[400, 414, 431]),
        ("\x16\x03\x01\x02".to_string() + &"\0".repeat(500) + "\r\n\r\n", &[400]),
    ] {
        let mut http = Http::connect(web.address);
        http.send(request.as_bytes());
        // The rest is in the way of the answer, which a reset may take along.
        let status = http.answer().map(|answer| answer.status);
        assert!(
            status.is_none_or(|status| statuses.contains(&status)),
            "{status:?} for {:?}",
            &request[..40]
        );
    }
    let body = format!("token={long}");
    let mut http = Http::connect(web.address);
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    http.send(format(web.address, "POST", "/login", &[kind], &body).as_bytes());
    assert!(http.answer().is_none_or(|answer| answer.status == 413));
    assert_eq!(web.get("/").status, 200);
    assert!(web.status_kb("VmHWM") < memory_before + 4 * 1024, "{memory_before}, {}", web.status_kb("VmHWM"));
}

#[test]
fn slow_heads_and_idle_connections_are_ended() {
    let (_server, web) = Web::with_hub(&[], &[]);
    let mut slow = Http::connect(web.address);
    slow.send(b"GET / HTTP/1.1\r\nHost: lo");
    let mut idle = Http::connect(web.address);
    idle.send(format(web.address, "GET", "/metrics", &[], "").as_bytes());
    assert_eq!(idle.answer().unwrap().status, 200);
    let mut body = Http::connect(web.address);
    body.send(
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
        Content-Length: 100\r\n\r\ntoken=",
    );
    for mut http in [slow, idle, body] {
        let answer = http.answer().map(|answer| answer.status);
        assert!(answer.is_none_or(|status| status == 408), "{answer:?}");
        assert_eq!(http.rest(), b"");
    }
}

#[test]
fn places_are_bounded_and_come_back() {
    allow_many_connections();
    let (_server, web) = Web::with_hub(&[], &[]);
    eventually("nobody is there", || web.get("/metrics").body.contains("\nfirstline_web_viewers 0\n"));
    let viewers: Vec<_> = (0..VIEWERS_MAX).map(|_| web.events("")).collect();
    let refused = web.get("/events");
    assert!(refused.status == 503 && refused.body.contains("too many viewers"), "{refused:?}");
    assert_eq!(web.get("/metrics").status, 200, "what asks for figures still gets them");
    let more: Vec<_> = (VIEWERS_MAX..CONNECTIONS_MAX).map(|_| Http::connect(web.address)).collect();
    eventually("there is no place", || {
        let mut http = Http::connect(web.address);
        http.head().is_some_and(|head| head.status == 503)
    });
    drop((viewers, more));
    eventually("there are places", || {
        let mut http = Http::connect(web.address);
        http.send(format(web.address, "GET", "/events", &[], "").as_bytes());
        http.head().is_some_and(|head| head.status == 200)
    });
}

/// Sends messages that are as long as they may be, until `stop` says so.
fn flood(server: &Server, count: usize) {
    let mut client = server.connect();
    let text = "é<b>\u{202e}".repeat(50);
    for _ in 0..count {
        assert!(client.ask(&format!("/urgent {text}")).starts_with("ACK "));
    }
}

#[test]
fn viewer_that_never_reads_is_ended_and_costs_the_others_nothing() {
    let (server, web) = Web::with_hub(&[], &[]);
    let mut never = Http::connect(web.address);
    nix::sys::socket::setsockopt(never.stream(), nix::sys::socket::sockopt::RcvBuf, &4096).unwrap();
    never.send(format(web.address, "GET", "/events", &[], "").as_bytes());
    let mut reader = web.events("");
    let viewers = |web: &Web, count: usize| {
        web.get("/metrics").body.contains(&format!("\nfirstline_web_viewers {count}\n"))
    };
    eventually("both are there", || viewers(&web, 2));
    let (mut seen, mut rounds) = (0, 0);
    while !viewers(&web, 1) {
        rounds += 1;
        assert!(rounds < 300, "it is ended");
        flood(&server, 60);
        let batch = reader.wait_for_event("messages", |_| true);
        seen += batch["messages"].as_array().unwrap().len();
    }
    assert!(seen > 0);
    let rest = never.rest();
    assert!(!rest.is_empty() && rest.len() < 4 << 20, "{}", rest.len());
    assert!(web.status_kb("VmHWM") < MEMORY_KB_MAX, "{} kB", web.status_kb("VmHWM"));
}

#[test]
fn markup_and_direction_controls_in_names_and_texts_stay_text() {
    let (server, web) = Web::with_hub(&[], &[]);
    let mut events = web.events("");
    let text = "<script>alert(1)</script>&\u{202e}\u{2066}\x1b[2J\x07";
    assert!(server.connect().ask(&format!("/9 {text}")).starts_with("ACK "));
    let batch = events.wait_for_event("messages", |_| true);
    let shown = batch["messages"][0]["text"].as_str().unwrap();
    assert_eq!(shown, r"<script>alert(1)</script>&\xe2\x80\xae\xe2\x81\xa6\x1b[2J\x07");
}

#[test]
fn server_that_is_no_hub_can_make_nothing_grow_and_forge_no_event() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // It answers as a hub does, except for /who, and says besides what a hub never says.
    let who_requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&who_requests);
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for (line, number) in lines.map_while(Result::ok).zip(1..) {
                if line == "/who" {
                    counter.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let mut said = String::new();
                if line.starts_with("/stats") {
                    said += "MSG 1 p9 <i>\u{202e} a\u{2028}b\r\x1b]0;x\n";
                    (0..20_000).for_each(|n| said += &format!("STAT invented-{n} 1\nWHO client-{n} - 0\n"));
                }
                let _ = stream.write_all(format!("{said}OK {number}\n").as_bytes());
            }
        }
    });
    let web = Web::start(address, &[]);
    let mut events = web.events("");
    let batch = events.wait_for_event("messages", |_| true);
    let message = &batch["messages"][0];
    assert_eq!(message["from"], r"<i>\xe2\x80\xae");
    assert!(!message["text"].as_str().unwrap().chars().any(|c| c.is_control()), "{message}");
    let stats = events.wait_for_event("stats", |stats| stats["is_here"] == true);
    assert!(stats["counters"].as_object().unwrap().len() <= 1_024);
    for _ in 0..4 {
        events.wait_for_event("stats", |stats| stats["is_here"] == true);
    }
    assert_eq!(who_requests.load(Ordering::Relaxed), 1, "one question is open at a time");
}

#[test]
fn fifty_viewers_fit_the_memory() {
    allow_many_connections();
    let (server, web) = Web::with_hub(&[], &[]);
    let mut viewers: Vec<_> = (0..50).map(|_| web.events("")).collect();
    for _ in 0..5 {
        flood(&server, 30);
        for events in &mut viewers {
            events.wait_for_event("messages", |_| true);
        }
    }
    let histories: Vec<_> = (0..50).map(|_| web.get("/history").status).collect();
    assert!(histories.iter().all(|status| *status == 200));
    let (now, most) = (web.status_kb("VmRSS"), web.status_kb("VmHWM"));
    println!("50 viewers: {now} kB, {most} kB at most");
    assert!(most < MEMORY_KB_MAX, "{most} kB");
}
