//! `firstline-web` against the real server: `cargo test --features web --test web`. The tests of the page take Chromium
//! and its driver, those of the metrics promtool and Prometheus: `tests/stages/web` installs them, and without them the
//! stage does not run.

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod browsing;
mod companion;
mod http;
mod metrics;
mod prometheus;
mod safety;
mod scene;
mod sending;
mod serving;
