//! Where and when it was measured.

use std::fs;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};

/// One line with the date and the kind of machine.
pub(crate) fn description() -> Result<String> {
    let cores = thread::available_parallelism().context("the number of cores is unknown")?;
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Ok(format!(
        "Measured {} on {cores} cores of {}, Linux {}, {}, loopback.",
        date().as_deref().unwrap_or("on an unknown date"),
        model(&processors).unwrap_or("an unknown processor"),
        kernel.trim(),
        env!("BENCHES_COMPILER"),
    ))
}

fn model(processors: &str) -> Option<&str> {
    let line = processors.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, model)| model.trim())
}

fn date() -> Option<String> {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output().ok()?;
    String::from_utf8(output.stdout)
        .ok()
        .map(|date| date.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_the_first_processors() {
        assert_eq!(
            model("processor\t: 0\nmodel name\t: A 1\nmodel name\t: B\n"),
            Some("A 1")
        );
        assert_eq!(model("processor\t: 0\n"), None);
    }
}
