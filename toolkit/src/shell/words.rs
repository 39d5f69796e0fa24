//! A line as words.

/// A word of a line that may still be being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// Where in the line it begins, in bytes.
    pub(super) start: usize,
    pub(super) text: String,
}

/// The words of a line: separated by blanks, with quotes and backslashes as in other shells. JSON that begins a word
/// with `{` or `[` needs no quotes: it is one word up to its closing bracket.
///
/// # Errors
///
/// When a quote or bracket is not closed.
pub(super) fn split(line: &str) -> Result<Vec<String>, String> {
    let (words, problem) = read(line);
    match problem {
        Some(problem) => Err(problem),
        None => Ok(words.into_iter().map(|word| word.text).collect()),
    }
}

/// The words up to the cursor. The last one is what is being typed, which is empty after a blank.
pub(super) fn unfinished(line: &str) -> Vec<Word> {
    let (mut words, problem) = read(line);
    if problem.is_none() && (words.is_empty() || line.ends_with(char::is_whitespace)) {
        words.push(Word {
            start: line.len(),
            text: String::new(),
        });
    }
    words
}

/// The words, and what is wrong with the last one.
fn read(line: &str) -> (Vec<Word>, Option<String>) {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return (words, None);
        }
        let start = line.len() - rest.len();
        let (text, length, problem) = if rest.starts_with(['{', '[']) {
            json(rest)
        } else {
            quoted(rest)
        };
        words.push(Word { start, text });
        if problem.is_some() {
            return (words, problem);
        }
        rest = &rest[length..];
    }
}

type Read = (String, usize, Option<String>);

/// JSON up to the bracket that closes the first one, as it stands.
fn json(text: &str) -> Read {
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return (text[..=at].to_owned(), at + 1, None);
        }
    }
    (
        text.to_owned(),
        text.len(),
        Some("the JSON is not finished: a bracket or quote is not closed".to_owned()),
    )
}

/// Up to the next blank outside of quotes.
fn quoted(text: &str) -> Read {
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match (character, quote) {
            (blank, None) if blank.is_whitespace() => return (word, at, None),
            ('\'' | '"', None) => quote = Some(character),
            (closing, Some(open)) if closing == open => quote = None,
            ('\\', None | Some('"')) => match characters.next() {
                Some((_, escaped)) => word.push(escaped),
                None => return (word, text.len(), Some("nothing follows the backslash".to_owned())),
            },
            (character, _) => word.push(character),
        }
    }
    let problem = quote.map(|quote| format!("the quote {quote} is not closed"));
    (word, text.len(), problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_join_words_and_json_needs_none() {
        let split = |line| split(line).unwrap();
        assert_eq!(split("  list   services "), ["list", "services"]);
        assert_eq!(split(r#"a 'b c' "d \" e"f \ g"#), ["a", "b c", "d \" ef", " g"]);
        assert_eq!(
            split(r#"call s E {"a": "} x", "b": [1, 2]} -o raw"#),
            ["call", "s", "E", r#"{"a": "} x", "b": [1, 2]}"#, "-o", "raw"]
        );
        assert_eq!(split(r#"x '{"a": "b"}' ''"#), ["x", r#"{"a": "b"}"#, ""]);
        assert!(split("").is_empty());
    }

    #[test]
    fn what_is_not_closed_is_told() {
        for (line, why) in [("a 'b", "quote '"), ("{\"a\": 1", "JSON"), ("x\\", "backslash")] {
            assert!(split(line).unwrap_err().contains(why), "{line}");
        }
    }

    #[test]
    fn the_word_being_typed_is_the_last() {
        let last = |line| {
            unfinished(line)
                .pop()
                .map(|word| (word.start, word.text))
                .unwrap()
        };
        assert_eq!(last("call gre"), (5, "gre".to_owned()));
        assert_eq!(last("call "), (5, String::new()));
        assert_eq!(last(""), (0, String::new()));
        assert_eq!(last("call 'a b"), (5, "a b".to_owned()));
    }
}
