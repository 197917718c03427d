//! `firstline-web` against the real server: `cargo test --features web --test web`. The tests of the page take Chromium
//! and its driver, those of the metrics promtool and Prometheus: `tests/stages/web` installs them, and without them the
//! stage does not run. With `--features web,bridge` there are also tests with the real bridge.

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "bridge")]
mod axe;
#[cfg(feature = "bridge")]
mod bridge;
mod browser;
mod browsing;
mod companion;
mod http;
mod metrics;
#[cfg(feature = "bridge")]
mod monitoring;
#[cfg(feature = "bridge")]
mod picture;
mod prometheus;
mod safety;
#[cfg(feature = "bridge")]
mod scene;
mod sending;
mod serving;
mod web;
