//! Which topics a subscription's topic means, as exchanges of type `topic` see it.

/// Whether what is published to `topic` reaches a subscription to `pattern`: `*` stands for one word between dots, `#`
/// for any number of them.
pub(crate) fn matches(pattern: &str, topic: &str) -> bool {
    if pattern == topic {
        return true;
    }
    if !pattern.contains(['*', '#']) {
        return false;
    }
    let words: Vec<&str> = topic.split('.').collect();
    // How far the pattern may have come after each word, so that no pattern takes more than its length times the topic's.
    let mut reached = vec![false; words.len() + 1];
    reached[0] = true;
    for part in pattern.split('.') {
        let mut next = vec![false; words.len() + 1];
        for place in 0..=words.len() {
            next[place] = match part {
                "#" => reached[place] || (place > 0 && next[place - 1]),
                "*" => place > 0 && reached[place - 1],
                word => place > 0 && reached[place - 1] && words[place - 1] == word,
            };
        }
        reached = next;
    }
    reached[words.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_are_words_and_hashes_any_number_of_them() {
        let rows = [
            ("orders", "orders", true),
            ("orders", "mails", false),
            ("orders.*", "orders.new", true),
            ("orders.*", "orders", false),
            ("orders.*", "orders.new.big", false),
            ("orders.#", "orders", true),
            ("orders.#", "orders.new.big", true),
            ("#.big", "orders.new.big", true),
            ("#.big", "big", true),
            ("#", "", true),
            ("*.*", "a.b", true),
            ("a.#.b.#.c", "a.x.b.y.z.c", true),
            ("a.#.b.#.c", "a.x.y.z.c", false),
            ("a*", "ab", false),
            ("x.*", "x.*", true),
        ];
        for (pattern, topic, expected) in rows {
            assert_eq!(matches(pattern, topic), expected, "{pattern} {topic}");
        }
        let many = vec!["#"; 100].join(".");
        assert!(matches(&many, &vec!["a"; 100].join(".")));
    }
}
