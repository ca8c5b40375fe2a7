//! Decimal numbers as the C2SP formats spell them: ASCII digits, no sign, no leading zero but in `0` itself.
//!
//! It does not know what is counted.

/// The number, if this is its only spelling and it fits.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let digits_only = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let canonical = digits_only && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::parse_decimal;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(parse_decimal("0"), Some(0));
        assert_eq!(parse_decimal("20852163"), Some(20_852_163));
        assert_eq!(parse_decimal("18446744073709551615"), Some(u64::MAX));
        for refused in ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "0x1", "1e3", "١", "18446744073709551616"] {
            assert_eq!(parse_decimal(refused), None, "{refused:?}");
        }
    }
}
