//! How the cost of a message grows: with the clients, with the length of the texts, and with the subscribers.

use crate::load::{self, Load};
use crate::report::{median, show};
use crate::server::Server;
use std::time::Duration;

/// One load, and its name.
struct Step {
    name: &'static str,
    load: Load,
    /// How many subscribers one sender sends to; 0: all clients send.
    joined: usize,
}

/// The rate, and the server's processor time for each message or delivery.
struct Cost {
    per_second: f64,
    cpu_ns: f64,
}

/// Measures all steps on `server`, interleaved, and prints a table of medians.
pub fn print(server: Server, rounds: usize, duration: Duration) {
    let steps = steps(duration);
    let mut costs: Vec<Vec<Cost>> = steps.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (step, costs) in steps.iter().zip(&mut costs) {
            costs.push(measure(server, step));
        }
    }
    println!("| {} | a second | ns of server CPU each |\n| --- | ---: | ---: |", server.name());
    for (step, costs) in steps.iter().zip(&costs) {
        let middle = |of: fn(&Cost) -> f64| show(median(&costs.iter().map(of).collect::<Vec<_>>()));
        println!("| {} | {} | {} |", step.name, middle(|cost| cost.per_second), middle(|cost| cost.cpu_ns));
    }
    println!();
}

fn steps(duration: Duration) -> Vec<Step> {
    let of = |name, connections, in_flight, text_bytes, joined| Step {
        name,
        load: Load { connections, in_flight, text_bytes, duration },
        joined,
    };
    vec![
        of("1 client, 16 in flight", 1, 16, 64, 0),
        of("4 clients, 16 in flight", 4, 16, 64, 0),
        of("16 clients, 16 in flight", 16, 16, 64, 0),
        of("64 clients, 16 in flight", 64, 16, 64, 0),
        of("256 clients, 16 in flight", 256, 16, 64, 0),
        of("1,000 clients, 16 in flight", 1_000, 16, 64, 0),
        of("texts of 16 bytes, 16 clients, 16 in flight", 16, 16, 16, 0),
        of("texts of 512 bytes, 16 clients, 16 in flight", 16, 16, 512, 0),
        of("1 joined, 1 sender, 16 in flight: deliveries", 0, 16, 64, 1),
        of("16 joined, 1 sender, 16 in flight: deliveries", 0, 16, 64, 16),
        of("64 joined, 1 sender, 16 in flight: deliveries", 0, 16, 64, 64),
    ]
}

fn measure(server: Server, step: &Step) -> Cost {
    let running = server.start();
    let before = running.cpu_time();
    let outcome = match step.joined {
        0 => load::acknowledge(running.address, server.protocol(), step.load),
        joined => {
            load::fan_out(running.address, server.protocol(), Load { connections: joined, ..step.load })
        }
    };
    let cpu_ns = (running.cpu_time() - before).as_nanos() as f64 / outcome.replies as f64;
    Cost { per_second: outcome.per_second(), cpu_ns }
}
