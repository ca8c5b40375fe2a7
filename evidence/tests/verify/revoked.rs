//! The axis of revocation: before, after, and between, by statements of the authority and by lists.

use exhibit_evidence::Body;
use exhibit_evidence::anchor::AnchorPolicy;
use exhibit_evidence::body::{CertificateRevocation, TimestampBody};
use exhibit_evidence::bundle::{FileRecord, checkpoint_token_path};
use exhibit_evidence::verdict::{Axis, FindingKind, Grade};
use exhibit_pki::crl::{NewRevocationList, Revocation, RevocationReason, make_revocation_list};
use exhibit_pki::{Certificate, Signer, SoftwareSigner, Timestamp};
use sha2::{Digest, Sha256};

use crate::authorities::{believing_time, city_time, notary, note_text};
use crate::common::{der::Node, key};
use crate::synthetic::{Case, Extra, Log, Recording, STARTED_MS};
use crate::witnessed::worst;

/// A minute before the recording, and long after everything.
const BEFORE_MS: u64 = STARTED_MS - 60_000;
const LONG_AFTER_MS: u64 = STARTED_MS + 3_600_000;

fn moment(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms).unwrap()
}

fn timestamp(log: &mut Log, city: bool, at_ms: u64) {
    let checkpoint = log.checkpoint();
    let token = if city { city_time() } else { notary() }.token(&note_text(&checkpoint), at_ms);
    let head = exhibit_evidence::Head { size: log.entries.len() as u64, root: log.root() };
    let attachments = vec![log.keep("checkpoint", checkpoint.as_bytes()), log.keep("token-0", &token)];
    log.append(|log| &mut log.appliance, at_ms, Body::Timestamp(TimestampBody { head, attachments }));
}

fn revoke_camera(log: &mut Log, since_ms: u64) {
    let fingerprint = *log.camera.party.certificate.fingerprint();
    let body =
        CertificateRevocation { fingerprint, since: moment(since_ms), reason: Some(RevocationReason::KeyCompromise), attachments: vec![] };
    log.append(|log| &mut log.authority, LONG_AFTER_MS, Body::CertificateRevocation(body));
}

/// A token before the recording and one after it, by the notary, and a revocation.
fn revoked(after: Extra) -> Case {
    let before: Extra = |log| timestamp(log, false, BEFORE_MS + 30_000);
    let mut case = Case::recorded(Recording { before: Some(before), after: Some(after), ..Recording::default() });
    case.log.policy = believing_time();
    case.prove_heads();
    case
}

fn kinds(case: &Case) -> Vec<(Grade, FindingKind)> {
    case.judge().unwrap().on(Axis::Revocation).map(|finding| (finding.grade, finding.kind)).collect()
}

#[test]
fn before_a_revocation_holds_after_it_does_not_and_between_is_undecided() {
    let after = kinds(&revoked(|log| {
        timestamp(log, false, STARTED_MS + 30_000);
        revoke_camera(log, BEFORE_MS);
    }));
    assert_eq!(after[0], (Grade::Bad, FindingKind::Revoked), "a key that was known to be stolen was believed");
    let before = kinds(&revoked(|log| {
        timestamp(log, false, STARTED_MS + 30_000);
        revoke_camera(log, STARTED_MS + 40_000);
    }));
    assert!(before.contains(&(Grade::NotDemanded, FindingKind::RevokedLater)), "a later revocation unmade evidence: {before:?}");
    assert!(before.iter().all(|(grade, _)| *grade <= Grade::NotDemanded), "{before:?}");
    let between = kinds(&revoked(|log| {
        timestamp(log, false, STARTED_MS + 30_000);
        revoke_camera(log, STARTED_MS + 5_000);
    }));
    assert_eq!(between[0], (Grade::Undecided, FindingKind::RevocationUndecided));
    let unbounded = kinds(&revoked(|log| revoke_camera(log, STARTED_MS + 40_000)));
    assert_eq!(unbounded[0], (Grade::Undecided, FindingKind::RevocationUndecided), "the camera's own clock decided");
}

/// An operator with a stolen key has its own authority say that the fakes are older than the theft.
#[test]
fn the_operators_own_word_does_not_place_a_statement_before_a_revocation() {
    let kinds = kinds(&revoked(|log| {
        timestamp(log, true, STARTED_MS + 30_000);
        revoke_camera(log, STARTED_MS + 40_000);
    }));
    assert_eq!(kinds[0], (Grade::Undecided, FindingKind::RevocationUndecided));
}

/// A list of the city's issuing authority.
fn list(made_ms: u64, revocations: &[Revocation], issuer: &Certificate, key: &SoftwareSigner) -> Vec<u8> {
    let list = NewRevocationList { number: 1, this_update: moment(made_ms), next_update: moment(made_ms + 86_400_000), revocations };
    make_revocation_list(&list, issuer, key).unwrap().der().to_vec()
}

/// All that is in the bundle was sealed before a token over its checkpoint.
fn with_lists(lists: impl Fn(&Log) -> Vec<Vec<u8>>) -> Case {
    dated(undated_with_lists(lists))
}

/// One that names nobody.
pub fn with_a_list() -> Case {
    with_lists(|log| vec![list(LONG_AFTER_MS, &[], &log.pki.issuing, &key(2))])
}

fn dated(mut case: Case) -> Case {
    let text = note_text(&String::from_utf8(case.file("checkpoint").clone()).unwrap());
    case.files.0.insert(checkpoint_token_path(0), notary().token(&text, STARTED_MS + 100_000));
    case
}

fn undated_with_lists(lists: impl Fn(&Log) -> Vec<Vec<u8>>) -> Case {
    on_log_with_lists(|log| timestamp(log, false, STARTED_MS + 30_000), lists)
}

fn on_log_with_lists(after: Extra, lists: impl Fn(&Log) -> Vec<Vec<u8>>) -> Case {
    let mut case = revoked(after);
    for (number, der) in lists(&case.log).into_iter().enumerate() {
        let path = format!("crls/{number}.crl");
        case.manifest.files.push(FileRecord { path: path.clone(), sha256: hex::encode(Sha256::digest(&der)), length: der.len() as u64 });
        case.files.0.insert(path, der);
    }
    case.export();
    case.prove_heads();
    case
}

fn of_camera(log: &Log, revoked_ms: u64, since_ms: Option<u64>) -> Revocation {
    let serial = log.camera.party.certificate.serial().to_vec();
    Revocation { serial, revoked: moment(revoked_ms), reason: None, invalid_since: since_ms.map(moment) }
}

#[test]
fn lists_say_who_was_not_revoked_and_who_was() {
    let (root, issuing) = (key(1), key(2));
    let clean =
        with_lists(|log| vec![list(LONG_AFTER_MS, &[], &log.pki.issuing, &issuing), list(LONG_AFTER_MS, &[], &log.pki.root, &root)]);
    assert_eq!(kinds(&clean), [(Grade::Good, FindingKind::Holds)]);
    let issuing_alone = with_lists(|log| vec![list(LONG_AFTER_MS, &[], &log.pki.issuing, &issuing)]);
    assert_eq!(
        kinds(&issuing_alone),
        [(Grade::NotDemanded, FindingKind::RevocationUnshown)],
        "nobody said that the authority was not revoked"
    );
    let early = with_lists(|log| vec![list(BEFORE_MS, &[], &log.pki.issuing, &issuing), list(BEFORE_MS, &[], &log.pki.root, &root)]);
    assert_eq!(kinds(&early), [(Grade::NotDemanded, FindingKind::RevocationUnshown)], "a list spoke of what came after it");
    let on_it = with_lists(|log| vec![list(LONG_AFTER_MS, &[of_camera(log, BEFORE_MS, None)], &log.pki.issuing, &issuing)]);
    assert_eq!(kinds(&on_it)[0], (Grade::Bad, FindingKind::Revoked));
    let since = with_lists(|log| vec![list(LONG_AFTER_MS, &[of_camera(log, LONG_AFTER_MS, Some(BEFORE_MS))], &log.pki.issuing, &issuing)]);
    assert_eq!(kinds(&since)[0], (Grade::Bad, FindingKind::Revoked), "the key was not to be believed before it was revoked");
    let authority = with_lists(|log| {
        let serial = log.pki.issuing.serial().to_vec();
        let revocation = Revocation { serial, revoked: moment(BEFORE_MS), reason: None, invalid_since: None };
        vec![list(LONG_AFTER_MS, &[revocation], &log.pki.root, &root)]
    });
    assert_eq!(kinds(&authority)[0].0, Grade::Bad, "what a revoked authority certified was believed");
}

/// A key is stolen and revoked, the thief dates back what it signs, and a list of before the theft comes with it.
#[test]
fn a_clean_list_shows_nothing_of_what_is_dated_by_its_signer_alone() {
    let lists = |log: &Log| vec![list(LONG_AFTER_MS, &[], &log.pki.issuing, &key(2)), list(LONG_AFTER_MS, &[], &log.pki.root, &key(1))];
    let mut case = undated_with_lists(lists);
    assert_eq!(kinds(&case), [(Grade::NotDemanded, FindingKind::RevocationUnshown)], "a claim decided");
    case.log.policy.demands = vec![Axis::Revocation];
    assert_eq!(worst(&case.judge().unwrap(), Axis::Revocation), (Grade::Undecided, FindingKind::RevocationUnshown));
    let mut dated = with_lists(lists);
    dated.log.policy.demands = vec![Axis::Revocation];
    assert_eq!(worst(&dated.judge().unwrap(), Axis::Revocation), (Grade::Good, FindingKind::Holds));
}

#[test]
fn lists_that_do_not_count_are_told() {
    let bad = (Grade::Bad, FindingKind::RevocationList);
    assert_eq!(kinds(&with_lists(|_| vec![b"no list".to_vec()]))[0], bad);
    let foreign = crate::synthetic::foreign_root();
    assert_eq!(kinds(&with_lists(|_| vec![list(LONG_AFTER_MS, &[], &foreign, &key(41))]))[0], bad, "a stranger's list was believed");
    let forged = with_lists(|log| {
        let mut der = list(LONG_AFTER_MS, &[], &log.pki.issuing, &key(2));
        *der.last_mut().unwrap() ^= 1;
        vec![der]
    });
    assert_eq!(kinds(&forged)[0], bad);
}

/// The issuing authority with another key: the root has certified that too, with the same name and the same key identifier, which are but bytes.
fn namesake(log: &Log) -> Certificate {
    let point = |number| key(number).public_key().as_bytes().to_vec();
    let (old, new) = (point(2), point(41));
    let mut tbs = log.pki.issuing.tbs_der().to_vec();
    let position = tbs.windows(old.len()).position(|window| window == old).unwrap();
    tbs[position..position + new.len()].copy_from_slice(&new);
    let mut certificate = Node::parse(log.pki.issuing.der());
    certificate.children[0] = Node::parse(&tbs);
    certificate.children[2].bytes = [&[0], key(1).sign(&tbs).unwrap().as_slice()].concat();
    Certificate::from_der(&certificate.to_der()).unwrap()
}

#[test]
fn a_list_of_the_authoritys_namesake_neither_clears_nor_revokes() {
    let root = |log: &Log| list(LONG_AFTER_MS, &[], &log.pki.root, &key(1));
    let after: Extra = |log| {
        log.certify(&namesake(log), &[]);
        timestamp(log, false, STARTED_MS + 30_000);
    };
    let judged = |lists: &dyn Fn(&Log) -> Vec<Vec<u8>>| kinds(&dated(on_log_with_lists(after, lists)));
    let own = |log: &Log| vec![list(LONG_AFTER_MS, &[], &log.pki.issuing, &key(2)), root(log)];
    assert_eq!(judged(&own), [(Grade::Good, FindingKind::Holds)], "the authority's own list was lost among its namesakes");
    let clean = |log: &Log| vec![list(LONG_AFTER_MS, &[], &namesake(log), &key(41)), root(log)];
    let unshown = [(Grade::NotDemanded, FindingKind::RevocationUnshown)];
    assert_eq!(judged(&clean), unshown, "a list of another key cleared what it never signed");
    let revoking = |log: &Log| vec![list(LONG_AFTER_MS, &[of_camera(log, BEFORE_MS, None)], &namesake(log), &key(41)), root(log)];
    assert_eq!(judged(&revoking), unshown, "a list of another key revoked what it never signed");
}

/// An issuing authority may be pinned in the place of its root.
#[test]
fn the_list_of_an_authority_that_is_a_root_of_the_anchor_counts() {
    let mut case = with_lists(|log| vec![list(LONG_AFTER_MS, &[], &log.pki.issuing, &key(2))]);
    case.log.roots = vec![case.log.pki.issuing.clone()];
    assert_eq!(kinds(&case), [(Grade::Good, FindingKind::Holds)]);
}

/// The one that names a stolen key could stand behind all that are looked at.
#[test]
fn lists_beyond_those_that_are_looked_at_leave_it_open() {
    let clean = |log: &Log, count: usize| {
        let (root, issuing) = (list(LONG_AFTER_MS, &[], &log.pki.root, &key(1)), list(LONG_AFTER_MS, &[], &log.pki.issuing, &key(2)));
        [vec![root], vec![issuing; count - 1]].concat()
    };
    for (count, grade) in [(64, Grade::Good), (65, Grade::Undecided)] {
        let mut case = with_lists(|log| clean(log, count));
        case.log.policy.demands = vec![Axis::Revocation];
        assert_eq!(worst(&case.judge().unwrap(), Axis::Revocation).0, grade, "{count} lists");
    }
}

#[test]
fn revocation_that_is_demanded_and_not_shown_is_undecided() {
    let mut case = with_lists(|log| vec![list(LONG_AFTER_MS, &[], &log.pki.issuing, &key(2))]);
    case.log.policy = AnchorPolicy { demands: vec![Axis::Revocation], ..believing_time() };
    assert_eq!(worst(&case.judge().unwrap(), Axis::Revocation), (Grade::Undecided, FindingKind::RevocationUnshown));
}

/// For the verifier in Python, which judges the same bundles.
pub const TESTS: &[fn()] = &[
    before_a_revocation_holds_after_it_does_not_and_between_is_undecided,
    the_operators_own_word_does_not_place_a_statement_before_a_revocation,
    lists_say_who_was_not_revoked_and_who_was,
    a_clean_list_shows_nothing_of_what_is_dated_by_its_signer_alone,
    a_list_of_the_authoritys_namesake_neither_clears_nor_revokes,
    lists_that_do_not_count_are_told,
    the_list_of_an_authority_that_is_a_root_of_the_anchor_counts,
    lists_beyond_those_that_are_looked_at_leave_it_open,
    revocation_that_is_demanded_and_not_shown_is_undecided,
];
