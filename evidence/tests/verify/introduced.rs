//! What entries bring with them: certificates, more than is asked for, and what nobody can have seen.

use exhibit_evidence::Body;
use exhibit_evidence::body::{Approve, AttachmentRef, CertificateBody};
use exhibit_evidence::verdict::{Axis, FindingKind, Grade};
use exhibit_pki::{KeyPurpose, Role};

use crate::common::{Party, stream};
use crate::synthetic::{Case, Issuer, Log, Recording, STARTED_MS};

fn other_custodian(log: &Log) -> Party {
    log.pki.party("user/b7", &[Role::Custodian], KeyPurpose::Signing, 87)
}

/// The certificate of another custodian is introduced with a purpose that was erased since, or never handed on.
#[test]
fn a_certificate_may_come_with_attachments_that_are_none() {
    let case = Case::recorded(Recording {
        before: Some(|log| {
            let certificate = other_custodian(log).certificate;
            let attachments = vec![log.keep("certificate", certificate.der()), AttachmentRef::of("purpose", &[7; 40], true)];
            let body = CertificateBody { fingerprint: *certificate.fingerprint(), replaces: None, attachments };
            log.append(|log| &mut log.authority, STARTED_MS - 9_000, Body::Certificate(body));
        }),
        ..Recording::default()
    });
    assert_eq!(case.faults(), []);
}

/// An entry that says to have seen what came after it is nobody's: what it introduces signs nothing.
#[test]
fn what_observed_more_than_there_was_is_not_judged_further() {
    let case = Case::recorded(Recording {
        before: Some(|log| {
            let party = other_custodian(log);
            let attachments = vec![log.keep("certificate", party.certificate.der())];
            let body = CertificateBody { fingerprint: *party.certificate.fingerprint(), replaces: None, attachments };
            let mut drafted = log.draft(|log| &mut log.authority, STARTED_MS - 9_000, Body::Certificate(body));
            drafted.observed.size += 1;
            log.append_as_drafted(|log| &mut log.authority, &drafted);
            let issuer = Issuer { party, stream: stream("user/b7/1"), next_seq: 0, prev: exhibit_tlog::Hash::default() };
            let usual = std::mem::replace(&mut log.custodian, issuer);
            let genesis = &log.entries[0];
            let body = Approve { entry: genesis.leaf_hash(), statement: genesis.statement_hash(), attachments: vec![] };
            log.append(|log| &mut log.custodian, STARTED_MS - 8_000, Body::Approve(body));
            log.custodian = usual;
        }),
        ..Recording::default()
    });
    let verdict = case.judge().unwrap();
    let bad: Vec<_> = verdict.on(Axis::Signature).filter(|finding| finding.grade == Grade::Bad).map(|finding| finding.kind).collect();
    assert_eq!(bad, [FindingKind::Observed, FindingKind::CertificateUnknown]);
}

/// For the verifier in Python, which judges the same bundles.
pub const TESTS: &[fn()] =
    &[a_certificate_may_come_with_attachments_that_are_none, what_observed_more_than_there_was_is_not_judged_further];
