//! Whether bytes are DER (X.690), as far as that can be told from them alone. See docs/formats/der.md.
//!
//! It knows no structure: whether a default is written, and what stands behind tags that are not universal, is for those who read it.

/// Whether some elements end to end are DER, all that they are made of too: that is more than der and const-oid demand, which take what they do not read
/// as it comes, sort sets, and accept arcs with zeros before them.
///
/// Octets and bits are not gone into, and no more than `DEPTH_MAX` deep.
pub fn is_der(der: &[u8]) -> bool {
    is_made_of_elements(der, true)
}

/// The same of what vendors of TPMs write, who leave sets in the order in which they think.
pub(crate) fn is_der_but_for_order(der: &[u8]) -> bool {
    is_made_of_elements(der, false)
}

fn is_made_of_elements(der: &[u8], sets_are_in_order: bool) -> bool {
    let mut open = vec![Level { rest: der, elements_before: None }];
    while let Some(level) = open.last_mut() {
        if level.rest.is_empty() {
            open.pop();
            continue;
        }
        let Some(element) = Element::first(level.rest) else { return false };
        level.rest = &level.rest[element.whole.len()..];
        if let Some(before) = &mut level.elements_before {
            // X.690 section 11.6.
            if *before > element.whole {
                return false;
            }
            *before = element.whole;
        }
        if element.tag & CONSTRUCTED == 0 {
            if !is_primitive(element.tag, element.content) {
                return false;
            }
        } else if (element.tag & CLASS == 0 && !matches!(element.tag, SEQUENCE | SET)) || open.len() == DEPTH_MAX {
            return false;
        } else {
            open.push(Level { rest: element.content, elements_before: (element.tag == SET && sets_are_in_order).then_some(&[]) });
        }
    }
    true
}

/// What is left of an element that is gone into.
struct Level<'a> {
    rest: &'a [u8],
    /// In a SET: the element before, or nothing.
    elements_before: Option<&'a [u8]>,
}

/// An element: its tag, what it holds, and all its bytes.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// The first of some: its tag in one byte, its length in as few as it takes.
    fn first(der: &'a [u8]) -> Option<Self> {
        let [tag, first, after @ ..] = der else { return None };
        let (length, after) = match first {
            0..=0x7f => (usize::from(*first), after),
            0x81..=0x84 => {
                let (length, after) = after.split_at_checked(usize::from(first & 0x7f))?;
                let value = length.iter().fold(0, |value, byte| value << 8 | usize::from(*byte));
                (length[0] != 0 && value >= 0x80).then_some((value, after))?
            }
            _ => return None,
        };
        let (content, behind) = after.split_at_checked(length)?;
        (tag & NUMBER != NUMBER).then_some(Self { tag: *tag, content, whole: &der[..der.len() - behind.len()] })
    }
}

/// What is not made of elements, in its one form. The values of tags that are not universal are told by those who read them.
fn is_primitive(tag: u8, content: &[u8]) -> bool {
    match tag {
        BOOLEAN => matches!(content, [0 | 0xff]),
        INTEGER | ENUMERATED => is_integer(content),
        BIT_STRING => is_bits(content),
        NULL => content.is_empty(),
        IDENTIFIER => is_identifier(content),
        UTC_TIME => content.len() == UTC_TIME_BYTES && is_moment(content),
        GENERALIZED_TIME => is_generalized_time(content),
        OCTET_STRING | UTF8 | NUMERIC..=VIDEOTEX | IA5 | VISIBLE..=GENERAL | BMP => true,
        _ => tag & CLASS != 0,
    }
}

/// Section 8.3.2: as few bytes as it takes.
fn is_integer(content: &[u8]) -> bool {
    match content {
        [] => false,
        [0, second, ..] => *second >= 0x80,
        [0xff, second, ..] => *second < 0x80,
        _ => true,
    }
}

/// Sections 8.6.2 and 11.2.1: the bits that do not count are zero.
fn is_bits(content: &[u8]) -> bool {
    match content {
        [0] => true,
        [unused @ 0..8, .., last] => last.trailing_zeros() >= u32::from(*unused),
        _ => false,
    }
}

/// The content of an object identifier: arcs without leading zeros, none cut off.
fn is_identifier(content: &[u8]) -> bool {
    let Some((first, arcs)) = content.split_first() else { return false };
    let least = |arc: &[u8]| arc[0] != 0x80 && arc.iter().fold(0, |value, septet| value << 7 | u64::from(septet & 0x7f)) <= ARC_MAX;
    content.len() <= IDENTIFIER_BYTES_MAX
        && content.last().is_some_and(|last| *last < 0x80)
        && *first <= FIRST_MAX
        && arcs.split_inclusive(|septet| *septet < 0x80).all(|arc| arc.len() <= ARC_BYTES_MAX && least(arc))
}

/// Section 11.7: to the second, and perhaps a fraction that does not end with a zero.
fn is_generalized_time(content: &[u8]) -> bool {
    let Some((whole, rest)) = content.split_at_checked(GENERALIZED_TIME_BYTES - 1) else { return false };
    let fraction = match rest {
        [b'Z'] => &[][..],
        [b'.', fraction @ .., b'Z'] if fraction.last().is_some_and(|last| *last != b'0') => fraction,
        _ => return false,
    };
    whole.iter().chain(fraction).all(u8::is_ascii_digit)
}

/// Digits, and `Z`.
fn is_moment(content: &[u8]) -> bool {
    content.split_last().is_some_and(|(last, digits)| *last == b'Z' && digits.iter().all(u8::is_ascii_digit))
}

/// Of a tag: its class, that it is made of elements, its number.
const CLASS: u8 = 0xc0;
const CONSTRUCTED: u8 = 0x20;
const NUMBER: u8 = 0x1f;
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const IDENTIFIER: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const UTF8: u8 = 0x0c;
/// NumericString, PrintableString, TeletexString, VideotexString.
const NUMERIC: u8 = 0x12;
const VIDEOTEX: u8 = 0x15;
const IA5: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// VisibleString, GeneralString.
const VISIBLE: u8 = 0x1a;
const GENERAL: u8 = 0x1b;
const BMP: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// A token has 17 levels, and four more in the certificates that it brings.
const DEPTH_MAX: usize = 32;
/// As many as const-oid holds.
const IDENTIFIER_BYTES_MAX: usize = 39;
/// The first two arcs in one byte, up to 2.39.
const FIRST_MAX: u8 = 119;
/// Several implementations keep an arc in 32 bits.
const ARC_MAX: u64 = u32::MAX as u64;
/// So many septets has the largest of them.
const ARC_BYTES_MAX: usize = 5;
/// `YYMMDDhhmmssZ`.
const UTC_TIME_BYTES: usize = 13;
/// `YYYYMMDDhhmmssZ`.
const GENERALIZED_TIME_BYTES: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let header = match content.len() {
            length @ 0..0x80 => vec![tag, length as u8],
            length @ 0x80..0x100 => vec![tag, 0x81, length as u8],
            length => vec![tag, 0x82, (length >> 8) as u8, length as u8],
        };
        [header, content.to_vec()].concat()
    }

    /// Alone, and deep in others: the same.
    fn judge(der: &[u8], expected: bool, what: &str) {
        assert_eq!(is_der(der), expected, "{what}");
        assert_eq!(is_der(&element(0x31, &element(0xa0, &element(0x30, der)))), expected, "{what}, in others");
        assert_eq!(is_der(&[&[5, 0], der].concat()), expected, "{what}, behind another");
        assert!(is_der(&element(4, der)) && is_der(&element(0x80, der)), "octets are octets");
        if expected && !der.is_empty() {
            assert!(!is_der(&der[..der.len() - 1]), "{what}, cut");
        }
    }

    #[test]
    fn an_object_identifier_is_in_its_least_form_and_within_bounds() {
        let long = |count: usize| [&[0x2a][..], &[3].repeat(count)].concat();
        for (what, content, expected) in [
            ("nothing", vec![], false),
            ("two arcs", vec![0x2a], true),
            ("three", vec![0x2a, 3], true),
            ("2.39", vec![119], true),
            ("2.40", vec![120], false),
            ("2.999", vec![0x88, 0x37], false),
            ("an arc that is padded", vec![0x55, 0x80, 4], false),
            ("a later arc that is padded", vec![0x55, 4, 0x80, 4], false),
            ("cut in an arc", vec![0x2a, 0x83], false),
            ("2^32 - 1", vec![0x2a, 0x8f, 0xff, 0xff, 0xff, 0x7f], true),
            ("2^32", vec![0x2a, 0x90, 0x80, 0x80, 0x80, 0], false),
            ("an arc of six bytes", vec![0x2a, 0x81, 0x80, 0x80, 0x80, 0x80, 0], false),
            ("39 bytes", long(38), true),
            ("40 bytes", long(39), false),
        ] {
            judge(&element(6, &content), expected, what);
        }
    }

    #[test]
    fn each_value_has_one_form() {
        for (what, tag, content, expected) in [
            ("false", 1, &[0][..], true),
            ("true", 1, &[0xff], true),
            ("true of BER", 1, &[1], false),
            ("no truth", 1, &[], false),
            ("two truths", 1, &[0, 0], false),
            ("a number", 2, &[0x7f], true),
            ("zero", 2, &[0], true),
            ("a number that needs its zero", 2, &[0, 0x80], true),
            ("a padded number", 2, &[0, 0x7f], false),
            ("a negative one", 2, &[0xff], true),
            ("a negative one that needs its ones", 2, &[0xff, 0x7f], true),
            ("a padded negative one", 2, &[0xff, 0x80], false),
            ("no number", 2, &[], false),
            ("a choice", 10, &[1], true),
            ("a padded choice", 10, &[0, 1], false),
            ("no choice", 10, &[], false),
            ("no bits", 3, &[0], true),
            ("bits", 3, &[7, 0x80], true),
            ("bits in two bytes", 3, &[4, 0xff, 0xf0], true),
            ("bits that do not count and are set", 3, &[4, 0xff, 0xf8], false),
            ("eight bits that do not count", 3, &[8, 0], false),
            ("bits that do not count, of none", 3, &[1], false),
            ("bits that do not say how many count", 3, &[], false),
            ("nothing", 5, &[], true),
            ("nothing that is something", 5, &[0], false),
            ("UTCTime", 0x17, b"261120120000Z", true),
            ("UTCTime without seconds", 0x17, b"2611201200Z", false),
            ("UTCTime with a zone", 0x17, b"2611201200+0100", false),
            ("UTCTime of a letter", 0x17, b"26112012000aZ", false),
            ("UTCTime without Z", 0x17, b"2611201200000", false),
            ("GeneralizedTime", 0x18, b"20261120120000Z", true),
            ("GeneralizedTime with a fraction", 0x18, b"20261120120000.05Z", true),
            ("a fraction that ends with 0", 0x18, b"20261120120000.50Z", false),
            ("a fraction of nothing", 0x18, b"20261120120000.Z", false),
            ("a fraction of letters", 0x18, b"20261120120000.aZ", false),
            ("a fraction behind a comma", 0x18, b"20261120120000,5Z", false),
            ("GeneralizedTime without seconds", 0x18, b"202611201200Z", false),
            ("GeneralizedTime without Z", 0x18, b"20261120120000", false),
            ("GeneralizedTime of a letter", 0x18, b"2026112012000aZ", false),
            ("octets", 4, &[1, 2], true),
            ("a text", 12, &[0xff], true),
            ("a BMPString", 0x1e, &[0], true),
            ("a GeneralString", 0x1b, &[0], true),
            ("a REAL", 9, &[], false),
            ("a RELATIVE-OID", 13, &[1], false),
            ("a UniversalString", 0x1c, &[], false),
            ("a GraphicString", 0x19, &[], false),
            ("nothing known", 0, &[], false),
            ("a SEQUENCE that is not made of elements", 0x10, &[], false),
            ("octets made of elements", 0x24, &[4, 0], false),
            ("a text made of elements", 0x2c, &[], false),
            ("a tag of two bytes", 0x9f, &[], false),
            ("a sequence", 0x30, &[5, 0, 5, 0], true),
            ("a sequence that is cut", 0x30, &[5], false),
            ("a sequence with a text that is cut", 0x30, &[12, 1], false),
            ("what is implicit", 0xa0, &[5, 0], true),
            ("what is implicit and cut", 0xa0, &[5, 1], false),
            ("what is the application's", 0x61, &[5, 0], true),
        ] {
            judge(&element(tag, content), expected, what);
        }
    }

    #[test]
    fn a_set_is_in_order() {
        for (what, set, expected) in [
            ("none", &[][..], true),
            ("one", &[2, 1, 7], true),
            ("two", &[2, 1, 6, 2, 1, 7], true),
            ("in the other order", &[2, 1, 7, 2, 1, 6], false),
            ("twice", &[2, 1, 7, 2, 1, 7], true),
            ("the shorter first", &[2, 1, 7, 2, 2, 1, 0], true),
            ("the longer first", &[2, 2, 1, 0, 2, 1, 7], false),
            ("by the tag's octet", &[12, 0, 48, 0], true),
            ("not by the tag's number", &[48, 0, 19, 0], false),
        ] {
            judge(&element(0x31, set), expected, what);
            judge(&element(0x30, set), true, "a sequence has any order");
            assert!(is_der_but_for_order(&element(0x30, &element(0x31, set))), "{what}");
        }
    }

    #[test]
    fn a_length_has_one_form_and_depth_has_an_end() {
        judge(&[&[4, 0x82, 0, 0x80][..], &[0; 0x80]].concat(), false, "two bytes where one does");
        judge(&element(4, &[0; 0x80]), true, "one byte");
        judge(&element(4, &[0; 0x100]), true, "two bytes");
        for (what, der) in [
            ("one where none is needed", &[4, 0x81, 1, 0][..]),
            ("a zero before it", &[4, 0x82, 0, 1, 0]),
            ("indefinite", &[0x30, 0x80, 0, 0]),
            ("no length", &[0x30]),
            ("five bytes of length", &[4, 0x85, 0, 0, 0, 0, 0]),
            ("a length of which a byte is missing", &[4, 0x82, 1]),
            ("a length without an end", &[4, 0x84, 0xff, 0xff, 0xff, 0xff]),
        ] {
            judge(der, false, what);
        }
        let deep = |levels: usize| (0..levels).fold(vec![], |inner: Vec<u8>, _| [&[0x30, inner.len() as u8][..], &inner].concat());
        assert!(is_der(&[]) && is_der(&deep(31)) && !is_der(&deep(32)));
    }
}
