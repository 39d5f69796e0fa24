//! Markdown tables that are aligned in plain text, too.

use std::fmt;

/// A table. Numbers, and whatever else is no word, stand at the right.
pub(crate) struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with heads and no rows.
    pub(crate) fn new(heads: Vec<String>) -> Self {
        Self {
            heads,
            rows: Vec::new(),
        }
    }

    /// Adds a row, which has as many fields as there are heads.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    fn width(&self, column: usize) -> usize {
        let fields = self
            .rows
            .iter()
            .filter_map(|row| row.get(column))
            .chain(self.heads.get(column));
        fields
            .map(|field| field.chars().count())
            .max()
            .unwrap_or_default()
    }

    fn is_words(&self, column: usize) -> bool {
        self.rows
            .iter()
            .filter_map(|row| row.get(column))
            .all(|field| field.starts_with(char::is_alphabetic))
    }

    fn line(&self, formatter: &mut fmt::Formatter<'_>, fields: &[String]) -> fmt::Result {
        for (column, field) in fields.iter().enumerate() {
            let width = self.width(column);
            if self.is_words(column) {
                write!(formatter, "| {field:<width$} ")?;
            } else {
                write!(formatter, "| {field:>width$} ")?;
            }
        }
        writeln!(formatter, "|")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.line(formatter, &self.heads)?;
        for column in 0..self.heads.len() {
            let dashes = "-".repeat(self.width(column) + 1);
            let end = if self.is_words(column) { '-' } else { ':' };
            write!(formatter, "|{dashes}{end}")?;
        }
        writeln!(formatter, "|")?;
        self.rows.iter().try_for_each(|row| self.line(formatter, row))
    }
}

/// What does not apply, or was not measured.
pub(crate) const NONE: &str = "–";

/// A number as it is written, or the dash where it is none.
pub(crate) fn known(number: f64, how: fn(f64) -> String) -> String {
    if number.is_nan() {
        NONE.to_owned()
    } else {
        how(number)
    }
}

/// A size in bytes or KiB.
pub(crate) fn size(bytes: usize) -> String {
    if bytes >= 1024 && bytes.is_multiple_of(1024) {
        format!("{} KiB", bytes / 1024)
    } else {
        format!("{bytes} B")
    }
}

/// A large number, with a comma after the thousands.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in microseconds.
pub(crate) fn microseconds(number: f64) -> String {
    format!("{number:.1}")
}

/// A ratio, or another small number.
pub(crate) fn precise(number: f64) -> String {
    format!("{number:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(vec!["peer".to_owned(), "p50 µs".to_owned()]);
        table.push(vec!["hyper".to_owned(), "9.5".to_owned()]);
        table.push(vec!["tonic".to_owned(), "12345.0".to_owned()]);
        let expected = "\
| peer  |  p50 µs |
|-------|--------:|
| hyper |     9.5 |
| tonic | 12345.0 |
";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(thousands(1_234_567.4), "1,234,567");
        assert_eq!(thousands(123.0), "123");
        assert_eq!(
            (size(16), size(1024), size(1500)),
            ("16 B".into(), "1 KiB".into(), "1500 B".into())
        );
    }
}
