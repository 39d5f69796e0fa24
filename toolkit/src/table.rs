//! Columns that line up, and fit.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::screen::{Paint, Palette, harmless};

/// Between two columns.
const GAP: &str = "  ";
/// No column is cut to less.
const NARROWEST: usize = 8;

/// Rows under a head. Cells are made harmless when they come in.
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    right: Vec<usize>,
    whole: Vec<usize>,
}

/// What stands in a row's column.
pub(crate) struct Cell {
    text: String,
    paint: Option<Paint>,
}

impl Cell {
    pub(crate) fn painted(text: impl AsRef<str>, paint: Paint) -> Self {
        Self {
            paint: Some(paint),
            ..Self::from(text.as_ref())
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self {
            text: harmless(text).into_owned(),
            paint: None,
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl Table {
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self {
            head: head.to_vec(),
            rows: Vec::new(),
            right: Vec::new(),
            whole: Vec::new(),
        }
    }

    /// Columns that are never cut: of an address or a number, a part is worth nothing.
    #[must_use]
    pub(crate) fn whole(mut self, columns: &[usize]) -> Self {
        self.whole.extend(columns);
        self
    }

    /// Columns whose texts end under each other: numbers, which are never cut.
    #[must_use]
    pub(crate) fn right(mut self, columns: &[usize]) -> Self {
        self.right = columns.to_vec();
        self.whole(columns)
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines, the head first; none wider than `width`, if the columns can be cut so far.
    pub(crate) fn lines(&self, palette: Palette, width: Option<usize>) -> Vec<String> {
        let widths = self.widths(width);
        let head = self.head.iter().map(|title| Cell::painted(title, Paint::Title));
        let head: Vec<Cell> = head.collect();
        let all = std::iter::once(&head).chain(&self.rows);
        all.map(|cells| self.written(cells, &widths, palette)).collect()
    }

    fn written(&self, cells: &[Cell], widths: &[usize], palette: Palette) -> String {
        let mut line = String::new();
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let text = cut(&cell.text, *width);
            let space = " ".repeat(width.saturating_sub(text.width()));
            let text = match cell.paint {
                Some(paint) => palette.paint(paint, text),
                None => text.into(),
            };
            if column > 0 {
                line += GAP;
            }
            let is_last = column + 1 == widths.len();
            match (self.right.contains(&column), is_last) {
                (true, _) => line += &format!("{space}{text}"),
                (false, true) => line += &text,
                (false, false) => line += &format!("{text}{space}"),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// How wide each column is: as its widest cell, but the widest of those that may be cut give way until all fit.
    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.head.iter().map(|title| title.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.width());
            }
        }
        let Some(limit) = limit else {
            return widths;
        };
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > limit {
            let may_be_cut = |column: &usize| !self.whole.contains(column) && widths[*column] > NARROWEST;
            let widest = (0..widths.len())
                .filter(may_be_cut)
                .max_by_key(|column| widths[*column]);
            match widest {
                Some(widest) => widths[widest] -= 1,
                None => break,
            }
        }
        widths
    }
}

/// A text that is no wider. An ellipsis stands for what is left out: the end of a sentence, the middle of a name, whose
/// end tells it from others.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let left = width.saturating_sub(1);
    let tail = if text.contains(' ') { 0 } else { left / 2 };
    let head: String = taken(text.chars(), left - tail);
    let tail: String = taken(text.chars().rev(), tail);
    format!("{head}…{}", tail.chars().rev().collect::<String>())
}

/// As many characters as fit into so many columns.
fn taken(characters: impl Iterator<Item = char>, width: usize) -> String {
    let mut left = width;
    let fits = |character: &char| {
        let taken = character.width().unwrap_or(0);
        let does = taken <= left;
        left = left.saturating_sub(taken);
        does
    };
    characters.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "AGE", "ABOUT"]).right(&[1]);
        table.row(["Ann".into(), "7".into(), "likes long sentences very much".into()]);
        table.row(["Włodzimierz".into(), "42".into(), "".into()]);
        table
    }

    #[test]
    fn columns_line_up_and_lines_have_no_blanks_at_their_end() {
        assert_eq!(
            table().lines(Palette::PLAIN, None),
            [
                "NAME         AGE  ABOUT",
                "Ann            7  likes long sentences very much",
                "Włodzimierz   42"
            ]
        );
    }

    #[test]
    fn the_widest_columns_give_way_to_the_terminal() {
        let lines = table().lines(Palette::PLAIN, Some(30));
        assert_eq!(lines[1], "Ann            7  likes long …");
        assert!(lines.iter().all(|line| line.width() <= 30), "{lines:?}");
    }

    #[test]
    fn what_is_worth_nothing_in_part_is_not_cut() {
        let mut table = Table::new(&["NAME", "ADDRESS"]).whole(&[1]);
        table.row(["a-rather-long-name".into(), "127.0.0.1:40000".into()]);
        assert_eq!(
            table.lines(Palette::PLAIN, Some(26))[1],
            "a-ra…name  127.0.0.1:40000"
        );
        assert_eq!(
            table.lines(Palette::PLAIN, Some(10))[1],
            "a-ra…ame  127.0.0.1:40000"
        );
    }

    #[test]
    fn wide_characters_count_as_what_they_take() {
        assert_eq!(cut("日本語 日本語", 7), "日本語…");
        assert_eq!(cut("greeter-58267e2f", 9), "gree…7e2f");
        assert_eq!(cut("日本語", 6), "日本語");
    }
}
