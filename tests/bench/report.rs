//! The report: tables of medians and ratios, and a plot of the same figures.

use crate::server::Server;
use firstline::bench_command::machine::Machine;
use std::fmt::{self, Write};

/// Which of two figures is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    More,
    Less,
}

/// The figures of one kind of work, round by round.
pub struct Table {
    unit: &'static str,
    better: Better,
    rows: Vec<(Server, Vec<f64>)>,
}

impl Table {
    pub fn new(unit: &'static str, better: Better, servers: Vec<Server>) -> Self {
        Self { unit, better, rows: servers.into_iter().map(|server| (server, Vec::new())).collect() }
    }

    pub fn add(&mut self, row: usize, figure: f64) {
        self.rows[row].1.push(figure);
    }

    fn median(&self, wanted: impl Fn(Server) -> bool) -> Option<f64> {
        let medians = self.rows.iter().filter(|row| wanted(row.0)).map(|row| median(&row.1));
        match self.better {
            Better::More => medians.reduce(f64::max),
            Better::Less => medians.reduce(f64::min),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // ncat's broker acknowledges nothing and drops what a slow reader does not take: it is shown, but is
        // not the best peer.
        let best_peer = self.median(|server| server.is_peer() && server != Server::Broker);
        let limits =
            [Server::EchoThreads, Server::EchoEpoll].map(|echo| self.median(|server| server == echo));
        writeln!(
            f,
            "| {} | median | range | of the best peer | of echo, threads | of echo, epoll |",
            self.unit
        )?;
        writeln!(f, "| --- | ---: | ---: | ---: | ---: | ---: |")?;
        for (server, figures) in &self.rows {
            let middle = median(figures);
            let (low, high) = (
                figures.iter().copied().fold(f64::MAX, f64::min),
                figures.iter().copied().fold(0.0, f64::max),
            );
            write!(f, "| {} | {} | {}–{} |", server.name(), show(middle), show(low), show(high))?;
            for reference in [best_peer, limits[0], limits[1]] {
                match reference {
                    Some(reference) => write!(f, " {:.2} |", middle / reference)?,
                    None => write!(f, " |")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The median.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// A figure in its shortest form.
pub fn show(figure: f64) -> String {
    match figure {
        1e6.. => format!("{:.2} M", figure / 1e6),
        1e4.. => format!("{:.1} k", figure / 1e3),
        _ => format!("{figure:.0}"),
    }
}

/// The machine of the measurement.
pub fn machine() -> String {
    format!("{}; the load generator runs on it too; 64-byte texts", Machine::this())
}

/// All medians in one table: a row for each measurement, a column for each server.
pub fn summary(tables: &[Table]) -> String {
    let takes_part =
        |server: &Server| tables.iter().any(|table| table.rows.iter().any(|row| row.0 == *server));
    let servers: Vec<Server> = Server::ALL.into_iter().filter(takes_part).collect();
    let mut summary = String::from("| |");
    servers.iter().for_each(|server| summary += &format!(" {} |", server.name()));
    summary += "\n| --- |";
    servers.iter().for_each(|_| summary += " ---: |");
    for table in tables {
        summary += &format!("\n| {} |", table.unit);
        for server in &servers {
            let figures = table.rows.iter().find(|row| row.0 == *server);
            summary += &figures.map_or(" |".into(), |row| format!(" {} |", show(median(&row.1))));
        }
    }
    summary + "\n"
}

/// The sizes of the plot, in pixels.
const WIDTH: usize = 760;
const ROW: usize = 20;
const LABEL: usize = 210;
const BAR: usize = 440;

/// The medians as bars, with a panel for each measurement.
pub fn svg(tables: &[Table]) -> String {
    let height: usize = tables.iter().map(|table| (table.rows.len() + 2) * ROW).sum();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut y = 0;
    for table in tables {
        y += ROW;
        let note = if table.better == Better::More { "more is better" } else { "less is better" };
        let _ = writeln!(svg, "<text x=\"8\" y=\"{y}\" font-weight=\"bold\">{} ({note})</text>", table.unit);
        let most = table.rows.iter().map(|row| median(&row.1)).fold(0.0, f64::max);
        for (server, figures) in &table.rows {
            y += ROW;
            draw_bar(&mut svg, y, *server, median(figures), most);
        }
        y += ROW;
    }
    svg + "</svg>\n"
}

/// Draws one bar with its name and figure; `most` is the figure of the longest bar.
fn draw_bar(svg: &mut String, y: usize, server: Server, figure: f64, most: f64) {
    let width = (figure / most * BAR as f64).max(1.0);
    let color = match server {
        server if server.is_firstline() => "#c0392b",
        Server::EchoThreads | Server::EchoEpoll => "#bdc3c7",
        _ => "#5d7fa3",
    };
    let _ = writeln!(svg, "<text x=\"8\" y=\"{y}\">{}</text>", server.name());
    let _ = writeln!(
        svg,
        "<rect x=\"{LABEL}\" y=\"{}\" width=\"{width:.0}\" height=\"14\" fill=\"{color}\"/>",
        y - 11
    );
    let end = LABEL as f64 + width + 6.0;
    let _ = writeln!(svg, "<text x=\"{end:.0}\" y=\"{y}\">{}</text>", show(figure));
}
