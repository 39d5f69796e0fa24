//! Transcripts: reading, comparing, writing down anew.

use std::path::PathBuf;

/// Stands for anything within a line.
const ANYTHING: &str = "[..]";

/// A part of a transcript.
enum Part {
    /// Text, and fences.
    Prose(String),
    Step {
        /// As it stands in the file, with its `$ ` and `> `.
        shown: String,
        line: String,
        expected: String,
    },
}

/// Runs every step of a transcript and compares what is printed. With `MICRO_BLESS` it writes that down instead.
pub(crate) fn check(path: PathBuf, run: impl Fn(&str) -> String) {
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let parts = parts(&text);
    assert!(
        parts.iter().any(|part| matches!(part, Part::Step { .. })),
        "{} has no steps",
        path.display()
    );
    let is_blessed = std::env::var_os("MICRO_BLESS").is_some();
    let mut blessed = String::new();
    let mut differences = String::new();
    for part in parts {
        match part {
            Part::Prose(text) => blessed += &text,
            Part::Step {
                shown,
                line,
                expected,
            } => {
                let printed = run(&line);
                let is_same = is_same(&expected, &printed);
                blessed += &shown;
                blessed += if is_same { &expected } else { &printed };
                if !is_same {
                    differences += &format!("{shown}--- expected\n{expected}--- printed\n{printed}\n");
                }
            }
        }
    }
    if is_blessed {
        std::fs::write(&path, blessed).unwrap();
        return;
    }
    assert!(
        differences.is_empty(),
        "{}: MICRO_BLESS=1 writes down what is printed now.\n{differences}",
        path.display()
    );
}

fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut prose = String::new();
    let mut lines = text.split_inclusive('\n').peekable();
    let mut is_console = false;
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            is_console = line.trim_end() == "```console";
        }
        let Some(first) = line.strip_prefix("$ ").filter(|_| is_console) else {
            prose += line;
            continue;
        };
        parts.push(Part::Prose(std::mem::take(&mut prose)));
        let (mut shown, mut command, mut expected) = (line.to_owned(), first.to_owned(), String::new());
        while let Some(more) = lines.next_if(|next| next.starts_with("> ")) {
            shown += more;
            command += &more[2..];
        }
        while let Some(output) = lines.next_if(|next| !next.starts_with("$ ") && !next.starts_with("```")) {
            expected += output;
        }
        parts.push(Part::Step {
            shown,
            line: command,
            expected,
        });
    }
    parts.push(Part::Prose(prose));
    parts
}

fn is_same(expected: &str, printed: &str) -> bool {
    let lines = |text: &str| -> Vec<String> { text.lines().map(steadied).collect() };
    let (expected, printed) = (lines(expected), lines(printed));
    expected.len() == printed.len() && expected.iter().zip(&printed).all(|(one, other)| fits(one, other))
}

/// Whether a line fits another with gaps.
fn fits(expected: &str, printed: &str) -> bool {
    let mut pieces = expected.split(ANYTHING);
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = printed.strip_prefix(first) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else {
        return rest.is_empty();
    };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A line with `#` for ports, times and sizes, which differ between runs, and with gaps of one width.
fn steadied(line: &str) -> String {
    const UNITS: [&str; 7] = [" ms", " s", " B", " KiB", " MiB", " GiB", "s "];
    let mut steady = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(|character: char| character.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        let length = from
            .find(|character: char| !character.is_ascii_digit() && character != '.')
            .unwrap_or(from.len());
        let (number, after) = from.split_at(length);
        steady += before;
        let is_port = steady.ends_with("127.0.0.1:");
        let is_quantity = UNITS.iter().any(|unit| after.starts_with(unit)) || after == "s";
        let is_time = steady.ends_with("\"milliseconds\": ");
        // A row of statistics, where everything behind the memory differs.
        let is_count = steady.contains("# MiB");
        steady += if is_port || is_quantity || is_time || is_count {
            "#"
        } else {
            number
        };
        rest = after;
    }
    steady += rest;
    if steady.contains("# MiB") {
        // As a rate that is not known yet.
        steady = steady.replace('–', "#");
    }
    let words: Vec<&str> = steady.trim_start().split("  ").map(str::trim).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let indent = steady.len() - steady.trim_start().len();
    format!("{}{}", " ".repeat(indent), words.join("  "))
}

#[test]
fn what_differs_between_runs_is_steadied() {
    assert_eq!(
        steadied("a  127.0.0.1:4711    0.4 ms  up 3s  x"),
        "a  127.0.0.1:#  # ms  up #s  x"
    );
    assert_eq!(
        steadied("x  0s  1.5 MiB  12  –"),
        steadied("x  1s  9.1 MiB   7  2.0")
    );
    assert_eq!(steadied("  \"value\": 3,"), "  \"value\": 3,");
    assert!(fits("a[..]c[..]", "abcd") && fits("x", "x") && fits("[..]", ""));
    assert!(!fits("a[..]c", "abcd") && !fits("x", "xy") && !fits("a[..]a", "a"));
}
