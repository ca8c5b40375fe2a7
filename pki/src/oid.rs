//! Object identifiers of this project and those of standards that const-oid's database lacks. See docs/formats/oids.md.

use const_oid::ObjectIdentifier;

/// Whether every object identifier that stands in some DER, octets and bits apart, is one: X.690 section 8.19, within the bounds of
/// docs/formats/oids.md. const-oid takes arcs with zeros before them, and larger ones than it can tell apart.
pub(crate) fn are_whole(der: &[u8]) -> bool {
    let mut rest = der;
    while let [tag, length, after @ ..] = rest {
        let (length, after) = match length {
            0x80 => return false,
            short if *short < 0x80 => (usize::from(*short), after),
            long => {
                let Some((bytes, after)) = after.split_at_checked(usize::from(long & 0x7f)).filter(|(bytes, _)| bytes.len() <= 4) else {
                    return false;
                };
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), after)
            }
        };
        let Some((content, behind)) = after.split_at_checked(length) else { return false };
        if *tag == IDENTIFIER && !is_whole(content) {
            return false;
        }
        // What is made of elements is gone into, so that no depth takes memory.
        rest = if tag & CONSTRUCTED == 0 { behind } else { after };
    }
    rest.is_empty()
}

/// The content of an object identifier: arcs without leading zeros, none cut off.
fn is_whole(content: &[u8]) -> bool {
    let Some((first, arcs)) = content.split_first() else { return false };
    let least = |arc: &[u8]| arc[0] != 0x80 && arc.iter().fold(0, |value, septet| value << 7 | u64::from(septet & 0x7f)) <= ARC_MAX;
    content.len() <= BYTES_MAX
        && content.last().is_some_and(|last| *last < 0x80)
        && *first <= FIRST_MAX
        && arcs.split_inclusive(|septet| *septet < 0x80).all(|arc| arc.len() <= ARC_BYTES_MAX && least(arc))
}

/// The tag of an object identifier.
const IDENTIFIER: u8 = 0x06;
/// Of a tag: made of elements.
const CONSTRUCTED: u8 = 0x20;
/// As many as const-oid holds.
const BYTES_MAX: usize = 39;
/// The first two arcs in one byte, up to 2.39.
const FIRST_MAX: u8 = 119;
/// Several implementations keep an arc in 32 bits.
const ARC_MAX: u64 = u32::MAX as u64;
/// So many septets has the largest of them.
const ARC_BYTES_MAX: usize = 5;

/// The eContentType of a statement: `2.25.1586047359.1.1`.
pub const STATEMENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.25.1586047359.1.1");
/// The policy of our timestamping authorities: the accuracy is stated, the clock is the operator's.
pub const TIMESTAMP_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.25.1586047359.3.1");
/// The arc under which roles are certificate policies: `.1` camera, `.2` custodian, `.3` investigator, `.4` auditor, `.5` admin,
/// `.6` appliance, `.7` authority.
pub const ROLES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.25.1586047359.2");

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(is_whole(&content), expected, "{what}");
            let element = [&[6, content.len() as u8][..], &content].concat();
            let nested = [&[0x31, element.len() as u8 + 2, 0xa0, element.len() as u8][..], &element].concat();
            let long_form = [&[0x30, 0x81, nested.len() as u8][..], &nested].concat();
            for der in [&element, &nested, &long_form] {
                assert_eq!(are_whole(der), expected, "{what}, in {der:02x?}");
                assert!(are_whole(&[&[4, der.len() as u8][..], der].concat()), "octets are octets");
                assert!(!are_whole(&der[..der.len() - 1]), "{what}, cut");
            }
        }
        assert!(are_whole(&[]) && !are_whole(&[0x30]) && !are_whole(&[0x30, 0x80]) && !are_whole(&[4, 0x85, 0, 0, 0, 0, 0]));
    }
}
