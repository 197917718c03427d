//! A real Chromium, driven by its driver (WebDriver, https://www.w3.org/TR/webdriver2/). It resolves no names, and so
//! speaks with this machine only.

use crate::http::request;
use crate::support::directory::Directory;
use crate::support::{LIMIT, eventually};
use data_encoding::BASE64;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A window of a browser; it is closed, and the driver killed, when this is dropped.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: Directory,
}

impl Browser {
    pub fn open(url: &str) -> Self {
        let profile = Directory::new("web-chromium");
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromium-driver is installed");
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines
            .filter_map(|line| {
                line.split_once("started successfully on port ").map(|(_, port)| port.to_string())
            })
            .find_map(|port| port.trim_end_matches('.').parse().ok());
        let address = SocketAddr::from(([127, 0, 0, 1], port.expect("the driver says its port")));
        let mut browser = Self { driver, address, session: String::new(), _profile: profile };
        let profile = browser._profile.path().to_string();
        let args = json!([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--lang=en",
            "--window-size=1200,1000",
            format!("--user-data-dir={profile}"),
        ]);
        let wanted = json!({"goog:chromeOptions": {"args": args}, "goog:loggingPrefs": {"browser": "ALL"}});
        let made = browser.command("POST", "", json!({"capabilities": {"alwaysMatch": wanted}}));
        browser.session = format!("/{}", made["sessionId"].as_str().expect("there is a session"));
        browser.go(url);
        browser
    }

    /// Opens that page.
    pub fn go(&self, url: &str) {
        self.command("POST", "/url", json!({"url": url}));
    }

    /// What a script returns.
    pub fn run(&self, script: &str) -> Value {
        self.command("POST", "/execute/sync", json!({"script": script, "args": []}))
    }

    /// The value of an expression, once it is there if it is a promise. The policy of the page does not restrict it.
    pub fn evaluate(&self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.devtools("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// The text of the elements that a selector names, as a person sees it.
    pub fn text(&self, selector: &str) -> String {
        let script =
            format!("return [...document.querySelectorAll({selector:?})].map(e => e.innerText).join('\\n')");
        self.run(&script).as_str().unwrap().to_string()
    }

    /// Waits until that text contains `part`.
    pub fn wait_for_text(&self, selector: &str, part: &str) {
        eventually(&format!("{selector} says {part:?}"), || self.text(selector).contains(part));
    }

    /// Whether a person sees the element.
    pub fn is_visible(&self, selector: &str) -> bool {
        self.run(&format!("return document.querySelector({selector:?}).checkVisibility()")) == true
    }

    /// Types into the element that has the focus, as a keyboard does. `\u{E004}` is Tab, `\u{E007}` is Enter.
    pub fn press(&self, keys: &str) {
        let actions: Vec<_> = keys
            .chars()
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        self.command(
            "POST",
            "/actions",
            json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}),
        );
    }

    /// Gives an element the focus.
    pub fn focus(&self, selector: &str) {
        self.run(&format!("document.querySelector({selector:?}).focus()"));
    }

    /// A command of Chromium's own protocol.
    pub fn devtools(&self, name: &str, parameters: Value) -> Value {
        self.command("POST", "/goog/cdp/execute", json!({"cmd": name, "params": parameters}))
    }

    /// Makes the window as large as a phone's, or another.
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", size);
    }

    /// Asks for dark or light colors.
    pub fn set_scheme(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Errors in the console since the last time: also what the policy of the page forbids.
    pub fn errors(&self) -> Vec<String> {
        let log = self.command("POST", "/se/log", json!({"type": "browser"}));
        log.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap().to_string()).collect()
    }

    /// Writes what the window shows, for a person to look at.
    pub fn screenshot(&self, name: &str) {
        let shot = self.devtools("Page.captureScreenshot", json!({"captureBeyondViewport": true}));
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/web-screenshots");
        fs::create_dir_all(&directory).unwrap();
        let bytes = BASE64.decode(shot["data"].as_str().unwrap().as_bytes()).unwrap();
        assert!(bytes.len() > 5_000 && bytes.starts_with(b"\x89PNG"));
        fs::write(directory.join(format!("{name}.png")), bytes).unwrap();
    }

    fn command(&self, method: &str, path: &str, body: Value) -> Value {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let path = format!("/session{}{path}", self.session);
        let answer = request(self.address, method, &path, &[("Content-Type", "application/json")], &body);
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        assert!(answer["value"]["error"].is_null(), "{path} {body}: {answer}");
        answer["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends Chromium, too. A test that failed in between may have no session.
        if !self.session.is_empty() {
            let path = format!("/session{}", self.session);
            request(self.address, "DELETE", &path, &[], "");
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

const _: () = assert!(LIMIT.as_secs() >= 30, "a browser starts slowly on a loaded machine");
