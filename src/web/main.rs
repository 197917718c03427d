//! `firstline-web`: a page for people, and metrics for Prometheus, of a hub that it asks by the hub's own protocol.
//!
//! Two threads. The [`poller`] speaks with the hub over one connection; the [`server`] serves all viewers. They share
//! the [`state`], and a queue of [`submission`]s. Everything that a viewer can make grow has a bound in [`limits`].
//!
//! | file | owns |
//! | --- | --- |
//! | [`figures`], [`history`], [`messages`] | what the hub says: its counters, the last hour, the last messages |
//! | [`metrics`] | the counters as Prometheus reads them |
//! | [`guard`], [`places`], [`login_gate`], [`sessions`] | which requests the server answers: they check the host, the number of connections, the token |
//! | [`router`], [`answer`], [`events`], [`page`] | the answers |

mod answer;
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
mod state;
mod submission;

fn main() -> std::process::ExitCode {
    program::main()
}
