//! The machine that this runs on.

use crate::counted::Counted;
use std::fmt;
use std::fs;
use std::thread::available_parallelism;

/// The machine, as the system describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    processors: usize,
    model: String,
    kernel: String,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        // ARM boards have their name in the device tree, and PCs that of their processor in cpuinfo.
        let board = read("/proc/device-tree/model");
        let board = board.trim_matches(['\0', '\n', ' ']);
        let processor = processor(&read("/proc/cpuinfo"));
        Self {
            processors: available_parallelism().map_or(1, usize::from),
            model: if board.is_empty() { processor } else { board.to_string() },
            kernel: read("/proc/sys/kernel/osrelease").trim().to_string(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processors, model, kernel } = self;
        write!(f, "{model}, {}, Linux {kernel}", Counted(*processors as u64, "processor"))
    }
}

/// The name of the processor in `/proc/cpuinfo`.
fn processor(cpuinfo: &str) -> String {
    let value = |line: &str| {
        line.strip_prefix("model name")?.split_once(':').map(|(_, value)| value.trim().to_string())
    };
    cpuinfo
        .lines()
        .find_map(value)
        .unwrap_or_else(|| format!("a processor of the family {}", std::env::consts::ARCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_has_the_name_in_cpuinfo() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: AMD EPYC\n"), "AMD EPYC");
        assert!(processor("").contains(std::env::consts::ARCH));
        let pi = Machine { processors: 1, model: "Raspberry Pi Zero".into(), kernel: "6.1.21".into() };
        assert_eq!(pi.to_string(), "Raspberry Pi Zero, 1 processor, Linux 6.1.21");
        assert!(!Machine::this().kernel.is_empty());
    }
}
