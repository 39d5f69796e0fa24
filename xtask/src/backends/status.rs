//! `cargo xtask backends status`: what runs, where, and how it came to run.

use super::home::Home;
use super::record::Record;
use super::table::{self, Backend};

const HEADINGS: [&str; 6] = ["name", "version", "address", "how", "pid", "memory"];

/// Prints a table of the named servers, or of all.
///
/// # Errors
///
/// Names the servers that were named and are down.
pub(super) fn run(home: &Home, names: &[String]) -> Result<(), String> {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    let mut down = Vec::new();
    for backend in table::chosen(names)? {
        let answer = (backend.probe)(home);
        if answer.is_err() && !names.is_empty() {
            down.push(backend.name);
        }
        rows.push(row(backend, answer.ok(), &Record::read(home, backend.name)?));
    }
    print!("{}", aligned(&rows));
    match down[..] {
        [] => Ok(()),
        _ => Err(format!(
            "down: {}; `cargo xtask backends up {}` starts what is missing",
            down.join(", "),
            down.join(" ")
        )),
    }
}

fn row(backend: &Backend, version: Option<String>, record: &Record) -> [String; 6] {
    let how = match (&version, record) {
        (None, record) if record.runs() => "native, not ready",
        (None, _) => "down",
        (Some(_), record) if record.runs() => "native",
        (Some(_), record) if !record.services.is_empty() => "compose",
        (Some(_), _) => "found",
    };
    let alive = || record.processes.iter().filter(|process| process.is_alive());
    let pids: Vec<_> = alive().map(|process| process.pid.to_string()).collect();
    let memory: u64 = alive().filter_map(|process| process.memory()).sum();
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    [
        backend.name.to_owned(),
        or_dash(version.unwrap_or_default()),
        backend.address.to_owned(),
        how.to_owned(),
        or_dash(pids.join(",")),
        if pids.is_empty() {
            "-".to_owned()
        } else {
            format!("{memory} MiB")
        },
    ]
}

/// The rows with columns as wide as their widest cell.
fn aligned(rows: &[[String; 6]]) -> String {
    let widths: Vec<_> = (0..HEADINGS.len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or_default())
        .collect();
    let line = |row: &[String; 6]| {
        let cells: Vec<_> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::process::Process;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            ["name", "version", "", "", "", "end"].map(str::to_owned),
            ["kubernetes", "1", "", "", "", "-"].map(str::to_owned),
        ];
        let text = aligned(&rows);
        let (first, second) = text.trim_end().split_once('\n').unwrap();
        assert_eq!(first.find("version"), second.find('1'));
        assert_eq!(first.find("end"), second.find('-'));
        assert!(!text.contains(" \n"), "{text:?}");
    }

    #[test]
    fn a_row_tells_how_the_server_came_to_run() {
        let backend = &table::ALL[0];
        let ours = Record {
            processes: Process::with_pid(std::process::id()).into_iter().collect(),
            ..Record::default()
        };
        let composed = Record {
            services: vec!["etcd".to_owned()],
            ..Record::default()
        };
        let how = |version: Option<&str>, record: &Record| {
            row(backend, version.map(str::to_owned), record)[3].clone()
        };
        assert_eq!(how(Some("3"), &ours), "native");
        assert_eq!(how(None, &ours), "native, not ready");
        assert_eq!(how(Some("3"), &composed), "compose");
        assert_eq!(how(Some("3"), &Record::default()), "found");
        assert_eq!(how(None, &Record::default()), "down");
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let row = row(&table::ALL[0], None, &Record::default());
        assert_eq!([&row[1], &row[4], &row[5]], ["-", "-", "-"]);
    }
}
