//! What statements and the manifest name, and is missing or another: bad on the axis that asks for it.

use exhibit_evidence::bundle::attachment_path;
use exhibit_evidence::sign;
use exhibit_evidence::verdict::{Axis, FindingKind, Grade};

use crate::continued::{contradiction, other_statement};
use crate::dated::by_notary_case;
use crate::devices::listed;
use crate::revoked::with_a_list;
use crate::synthetic::{Case, Recording};

fn contradicted() -> Case {
    Case::recorded(Recording {
        after: Some(|log| {
            let (first, other) = other_statement(log);
            let second = sign(&other, &log.camera.party.certificate, &log.camera.party.key).unwrap();
            contradiction(log, &first, second.der());
        }),
        ..Recording::default()
    })
}

fn enrolled() -> Case {
    Case::recorded(Recording { before: Some(listed), ..Recording::default() })
}

/// Where what the newest statement has attached under a name lies.
fn path_of(case: &Case, name: &str) -> String {
    let attached = case.log.entries.iter().rev().find_map(|entry| entry.statement().body.attachment(name));
    attached.map_or_else(|| name.to_owned(), |attached| attachment_path(&attached.sha256))
}

fn is_told(case: &Case, axis: Axis, kind: FindingKind) -> bool {
    case.judge().unwrap().on(axis).any(|finding| (finding.kind, finding.grade) == (kind, Grade::Bad))
}

#[test]
fn what_is_named_and_missing_or_another_is_bad_where_it_is_asked_for() {
    type Make = fn() -> Case;
    let cases: [(Axis, Make, &str); 5] = [
        (Axis::Signature, Case::new, "certificate"),
        (Axis::Continuity, contradicted, "first"),
        (Axis::Time, by_notary_case, "token-0"),
        (Axis::Device, enrolled, "certify"),
        (Axis::Revocation, with_a_list, "crls/0.crl"),
    ];
    for (axis, make, name) in cases {
        let mut case = make();
        let path = path_of(&case, name);
        let whole = case.files.0.remove(&path).unwrap();
        assert!(is_told(&case, axis, FindingKind::FileMissing), "{axis}: {name} is missing");
        let mut altered = whole;
        altered[0] ^= 1;
        case.files.0.insert(path, altered);
        // A list that is another is still a list, or is none.
        let kind = if axis == Axis::Revocation { FindingKind::RevocationList } else { FindingKind::FileAltered };
        assert!(is_told(&case, axis, kind), "{axis}: {name} is another");
    }
}

/// For the verifier in Python, which judges the same bundles.
pub const TESTS: &[fn()] = &[what_is_named_and_missing_or_another_is_bad_where_it_is_asked_for];
