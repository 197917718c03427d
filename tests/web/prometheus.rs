//! A real Prometheus, and its promtool.

use crate::http::request;
use crate::support::directory::Directory;
use crate::support::eventually;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A running Prometheus; it is killed when this is dropped.
pub struct Prometheus {
    address: SocketAddr,
    child: Child,
}

impl Prometheus {
    /// Starts one that scrapes that address every second, with those rules.
    pub fn start(directory: &Directory, target: SocketAddr, rules: &Path) -> Self {
        fs::create_dir_all(&directory.0).unwrap();
        let config = directory.0.join("prometheus.yml");
        let rules = fs::canonicalize(rules).unwrap();
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n\
             - job_name: firstline\n  static_configs: [{{targets: ['{target}']}}]\n",
            rules.display()
        );
        fs::write(&config, text).unwrap();
        let address = free_address();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}/data", directory.path()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stderr(fs::File::create(directory.0.join("log")).unwrap())
            .spawn()
            .expect("prometheus is installed");
        let prometheus = Self { address, child };
        eventually("Prometheus answers", || {
            TcpStream::connect(address).is_ok() && request(address, "GET", "/-/ready", &[], "").status == 200
        });
        prometheus
    }

    /// The value of an expression that has one.
    pub fn query(&self, expression: &str) -> Option<f64> {
        let answer = self.ask(expression);
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }

    fn ask(&self, expression: &str) -> serde_json::Value {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = request(self.address, "GET", &format!("/api/v1/query?query={encoded}"), &[], "");
        serde_json::from_str(&answer.body).unwrap()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A free address of this machine, which something else may take meanwhile: then the program says so and the test
/// fails.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Runs promtool with that input.
pub fn promtool(args: &[&str], input: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}
