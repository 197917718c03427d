//! Values over time as a plot.

use std::fmt::Write;

/// A value over time, second by second.
pub struct Series {
    pub name: &'static str,
    pub values: Vec<f64>,
}

/// The series on one pair of axes.
pub struct Panel {
    pub title: &'static str,
    pub is_logarithmic: bool,
    pub series: Vec<Series>,
}

const COLORS: [&str; 3] = ["#5d7fa3", "#c0392b", "#bdc3c7"];
const LEFT: f64 = 60.0;
const WIDTH: f64 = 680.0;
const HEIGHT: f64 = 150.0;
/// The height of a panel with its title and the space below it.
const ROW: f64 = HEIGHT + 60.0;

/// More points are indistinguishable.
const POINTS_MAX: usize = 300;

impl Series {
    /// How many seconds one point stands for.
    fn seconds_a_point(&self) -> usize {
        self.values.len().div_ceil(POINTS_MAX).max(1)
    }

    /// The largest value of each such span.
    fn points(&self) -> Vec<f64> {
        let most = |span: &[f64]| span.iter().copied().fold(0.0, f64::max);
        self.values.chunks(self.seconds_a_point()).map(most).collect()
    }
}

impl Panel {
    /// The largest value on the axis, a round number.
    fn top(&self) -> f64 {
        let most = self.series.iter().flat_map(|series| &series.values).copied().fold(0.1, f64::max);
        let unit = 10f64.powf(most.log10().floor());
        if self.is_logarithmic { 10f64.powf(most.log10().ceil()) } else { (most / unit).ceil() * unit }
    }

    /// The smallest value on the axis.
    fn bottom(&self) -> f64 {
        if !self.is_logarithmic {
            return 0.0;
        }
        let values = self.series.iter().flat_map(|series| &series.values).copied();
        let least = values.filter(|value| *value > 0.0).fold(self.top() / 10.0, f64::min);
        10f64.powf(least.log10().floor())
    }

    /// The height of a value above the axis, from 0 to 1.
    fn height(&self, value: f64) -> f64 {
        let (bottom, top) = (self.bottom(), self.top());
        if self.is_logarithmic {
            (value.max(bottom) / bottom).log10() / (top / bottom).log10()
        } else {
            value / top
        }
    }

    /// The values that label the axis.
    fn marks(&self) -> Vec<f64> {
        let (bottom, top) = (self.bottom(), self.top());
        if self.is_logarithmic {
            let powers = (top / bottom).log10().round() as i32;
            (0..=powers).map(|power| bottom * 10f64.powi(power)).collect()
        } else {
            vec![0.0, top / 2.0, top]
        }
    }

    fn draw(&self, svg: &mut String, y: f64) {
        let base = y + 24.0 + HEIGHT;
        let _ =
            writeln!(svg, "<text x=\"8\" y=\"{:.0}\" font-weight=\"bold\">{}</text>", y + 14.0, self.title);
        for mark in self.marks() {
            let at = base - self.height(mark) * HEIGHT;
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>\n\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{mark}</text>",
                LEFT + WIDTH,
                LEFT - 6.0,
                at + 4.0
            );
        }
        // The first series is drawn last, and so lies on top.
        for (number, series) in self.series.iter().enumerate().rev() {
            let values = series.points();
            let step = WIDTH / (values.len() - 1).max(1) as f64;
            let points: Vec<String> = (values.iter().enumerate())
                .map(|(place, value)| {
                    format!("{:.1},{:.1}", LEFT + place as f64 * step, base - self.height(*value) * HEIGHT)
                })
                .collect();
            let color = COLORS[number % COLORS.len()];
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\"/>\n\
                 <text x=\"{:.0}\" y=\"{:.0}\" fill=\"{color}\">{}</text>",
                points.join(" "),
                LEFT + WIDTH - 240.0 + 80.0 * number as f64,
                y + 14.0,
                series.name
            );
        }
    }
}

/// The panels, one above the other, over that many seconds.
pub fn svg(panels: &[Panel], seconds: u64) -> String {
    let (width, height) = (LEFT + WIDTH + 20.0, panels.len() as f64 * ROW + 10.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (number, panel) in panels.iter().enumerate() {
        let y = number as f64 * ROW;
        panel.draw(&mut svg, y);
        let span = panel.series.first().map_or(1, Series::seconds_a_point);
        let until = format!("{seconds} s; each point is the largest value of {span} s");
        for (at, anchor, what) in [(LEFT, "start", "0"), (LEFT + WIDTH, "end", &until)] {
            let below = y + 24.0 + HEIGHT + 16.0;
            let _ = writeln!(svg, "<text x=\"{at}\" y=\"{below:.0}\" text-anchor=\"{anchor}\">{what}</text>");
        }
    }
    svg + "</svg>\n"
}
