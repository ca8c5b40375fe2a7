//! What strangers wrote, as it is shown to people: names of files, streams and people, and what other programs answered.
//!
//! It knows no language and no terminal. Without it a file's name could paint a verdict of its own over ours: move the cursor (ESC, and CSI among
//! the C1 controls), begin a line, or turn the order of what follows (Unicode Technical Report 36, section 2.2).

use std::borrow::Cow;
use std::fmt::Write;

/// The text with every character that is not shown as itself in place of it: controls, line and paragraph separators, what turns the order
/// of writing, what has no width or no meaning, and marks that lie over what they follow, each as `\u{202e}`. Any space but U+0020 too.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |character| !shows_itself(character), |escaped, character| write!(escaped, "{}", character.escape_unicode()))
}

/// The same JSON, in which no string holds such a character as itself: `\u202e`. Programs read what they read before.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    // Below U+0020 there are only line feeds between members: JSON has no controls in strings.
    escaped(
        json,
        |character| character > '~' && !shows_itself(character),
        |escaped, character| character.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(escaped, "\\u{unit:04x}")),
    )
}

/// The standard library's table of what `{:?}` leaves as it is, and the two quotes and the backslash.
fn shows_itself(character: char) -> bool {
    matches!(character, '"' | '\'' | '\\') || character.escape_debug().len() == 1
}

fn escaped(text: &str, is_escaped: fn(char) -> bool, write: fn(&mut String, char) -> std::fmt::Result) -> Cow<'_, str> {
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_escaped(character) {
            write(&mut escaped, character).expect("a string takes what is written");
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each with what it does to whoever reads it.
    const HOSTILE: &[(char, &str)] = &[
        ('\u{1b}', "begins a command to the terminal"),
        ('\u{9b}', "the same in one character of C1"),
        ('\u{85}', "ends a line, in C1"),
        ('\r', "writes over the line"),
        ('\n', "begins a line"),
        ('\u{8}', "goes back"),
        ('\u{7f}', "deletes"),
        ('\0', "ends the text for some"),
        ('\u{2028}', "separates lines"),
        ('\u{2029}', "separates paragraphs"),
        ('\u{202e}', "turns the order of writing"),
        ('\u{2066}', "isolates a direction"),
        ('\u{200f}', "marks right to left"),
        ('\u{200b}', "has no width"),
        ('\u{feff}', "has none either"),
        ('\u{e0041}', "is a tag that nobody sees"),
        ('\u{301}', "lies over the letter before it"),
        ('\u{a0}', "passes for a space"),
        ('\u{e000}', "means what a font says"),
    ];

    #[test]
    fn what_does_not_show_itself_is_spelt_out() {
        for (character, harm) in HOSTILE {
            let shown = printable(&format!("a{character}b")).into_owned();
            assert_eq!(shown, format!("a\\u{{{:x}}}b", u32::from(*character)), "{harm}");
        }
    }

    #[test]
    fn what_shows_itself_stays_as_it_is() {
        let text = "Kamera \"Straße\" 102, \\ 'Überwachung' – 監視カメラ ₂ ✓";
        assert!(matches!(printable(text), Cow::Borrowed(same) if same == text));
        assert!(matches!(printable_json(text), Cow::Borrowed(same) if same == text));
    }

    #[test]
    fn json_says_the_same_without_such_characters() {
        let text: String = HOSTILE.iter().map(|(character, _)| *character).collect();
        let json = serde_json::to_string_pretty(&serde_json::json!({ "name": text, "more": [1, "Straße"] })).expect("it is plain data");
        let shown = printable_json(&json);
        assert!(shown.chars().all(|character| character == '\n' || shows_itself(character)), "{shown}");
        let (before, after): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(&json).expect("it was JSON"), serde_json::from_str(&shown).expect("it is no JSON any more"));
        assert_eq!(before, after, "a program reads another text");
    }
}
