//! `firstline-web`: a page for people, and metrics for Prometheus, about a hub. It speaks the hub's own protocol.
//!
//! There are two threads, and one more during the lookup of a name. The [`poller`] speaks with the hub over one
//! connection; the [`server`] serves all viewers. They share the [`state`], and a queue of [`submission`]s. Everything
//! that a viewer can make grow has a bound in [`limits`].
//!
//! | file | owns |
//! | --- | --- |
//! | [`figures`], [`history`], [`messages`] | data of the hub: its counters, the last hour, the last messages |
//! | [`bridge`] | the counters of `firstline-bridge` |
//! | [`metrics`] | the counters in the formats of Prometheus |
//! | [`guard`], [`places`], [`login_gate`], [`sessions`] | access: by host name, by number of connections, by token |
//! | [`router`], [`site`], [`answer`], [`events`], [`page`] | the answers to requests |

mod answer;
mod bridge;
mod events;
mod figures;
mod guard;
mod history;
mod limits;
mod login_gate;
mod messages;
mod metrics;
mod options;
mod page;
mod places;
mod poller;
mod program;
mod router;
mod server;
mod sessions;
mod site;
mod state;
mod submission;

fn main() -> std::process::ExitCode {
    program::main()
}
