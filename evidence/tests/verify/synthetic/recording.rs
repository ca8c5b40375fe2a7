//! What is put on the log: genesis and certificates, the recipients, and one camera's recording, each as a test wants it.

use std::cell::RefCell;

use exhibit_evidence::body::{
    AttachmentRef, Close, CloseReason, Continues, Epoch, EpochReason, Genesis, Predecessor, Recipients, Segment, StreamPosition,
};
use exhibit_evidence::bundle::{DISCLOSURE_TYPE, DisclosedFragment, Disclosure, fragment_path};
use exhibit_evidence::keytree::KeyTree;
use exhibit_evidence::segment::{SegmentOpener, SegmentSealer};
use exhibit_evidence::{Body, SignedStatement};
use exhibit_pki::Timestamp;
use exhibit_tlog::{Hash, NoteSigner};
use zeroize::Zeroizing;

use super::files::Files;
use super::log::{Log, note_signer};
use super::{ASKED, EARLIER, ORIGIN, PREDECESSOR, PREDECESSOR_SIZE, SEGMENTS, STARTED_MS, segment_start_ms};
use crate::common::{NOT_AFTER, stream, time};

/// What is logged besides a recording, once.
pub type Extra = fn(&mut Log);
/// The same after the epoch (0) and each segment (its number).
pub type ExtraAt = fn(&mut Log, u64);

/// How a recording may differ from the usual one, before it is signed and logged.
#[derive(Clone, Copy, Default)]
pub struct Recording {
    /// This segment starts so much later than it should, by the camera's clock.
    pub late: Option<(u64, u64)>,
    /// The camera's certificate is put on the ledger after the recording.
    pub certificate_late: bool,
    /// The recipients are of another camera.
    pub other_scope: bool,
    /// The epoch continues another one, which the exporter leaves out, and more is asked for than the epoch covers.
    pub epoch_hidden: bool,
    /// The statement that introduces the camera's certificate names another.
    pub other_fingerprint: bool,
    /// The investigator's fetch asks for fewer segments than are exported.
    pub fetch_less: bool,
    /// The fetch was made by the custodian.
    pub fetch_by_other: bool,
    /// The grant that the fetch names is logged after it.
    pub grant_late: bool,
    /// The camera's certificate is signed by a CA that nobody trusts.
    pub foreign_certificate: bool,
    /// The camera's certificate is valid up to this moment alone.
    pub expires_ms: Option<u64>,
    /// The name of the camera's stream, if it is not `CAMERA_STREAM`.
    pub stream: Option<&'static str>,
    /// This segment can not be decoded without the one before it.
    pub dependent: Option<u64>,
    /// The signature of this segment's statement is forged.
    pub forged: Option<u64>,
    /// This segment's statement follows another than the one before it.
    pub unchained: Option<u64>,
    /// The log succeeds one of ten entries.
    pub successor: bool,
    /// Sets the recipients otherwise; the last set on the log is obeyed.
    pub recipients: Option<Extra>,
    /// What else is logged before the recipients are set,
    pub before: Option<Extra>,
    /// after the epoch (0) and each segment (its number),
    pub between: Option<ExtraAt>,
    /// and after the recording.
    pub after: Option<Extra>,
}

pub fn begin_log(log: &mut Log, how: Recording) {
    let own = log.appliance.party.certificate.clone();
    let genesis = Genesis {
        origin: ORIGIN.to_owned(),
        keys: vec![note_signer().verifier_key().to_string()],
        roots: [&log.pki.root, &log.pki.issuing].map(|root| *root.fingerprint()).to_vec(),
        witness_policy: String::new(),
        predecessor: how.successor.then_some(Predecessor { log: PREDECESSOR, head: Log::predecessor_head(PREDECESSOR_SIZE) }),
        earlier: how
            .successor
            .then_some(Predecessor { log: EARLIER, head: Log::predecessor_head(PREDECESSOR_SIZE + 1) })
            .into_iter()
            .collect(),
        attachments: vec![log.keep("certificate", own.der())],
    };
    log.append(|log| &mut log.appliance, STARTED_MS - 20_000, Body::Genesis(genesis));
    log.id = log.leaf(0);
    let (authority, issuing, root) = (log.authority.party.certificate.clone(), log.pki.issuing.clone(), log.pki.root.clone());
    log.certify(&authority, &[issuing, root]);
    for certificate in [&log.custodian, &log.investigator].map(|issuer| issuer.party.certificate.clone()) {
        log.certify(&certificate, &[]);
    }
    if !how.certificate_late {
        let camera = log.camera.party.certificate.clone();
        let named = if how.other_fingerprint { [9; 32] } else { *camera.fingerprint() };
        log.certify_as(&camera, named, &[]);
    }
}

/// A set that replaces none, after which the custodian decides alone.
pub fn first_recipients(log: &Log, scope: &str, number: u64) -> Recipients {
    Recipients {
        scope: scope.to_owned(),
        number,
        replaces: None,
        recipients: vec![[5; 32]],
        custodians: vec![*log.custodian.party.certificate.fingerprint()],
        threshold: 1,
        expires: time(NOT_AFTER),
        attachments: vec![],
    }
}

pub fn set_recipients(log: &mut Log, scope: &str) -> Hash {
    let set = first_recipients(log, scope, 1);
    let index = log.append(|log| &mut log.custodian, STARTED_MS - 5_000, Body::Recipients(set));
    log.leaf(index)
}

/// Records: an epoch, segments of two fragments, a close. Gives the index of each, and what is disclosed.
pub fn record(log: &mut Log, recipients: Hash, how: Recording) -> (Vec<u64>, Vec<Disclosure>, Files) {
    let name = log.camera.stream.clone();
    let tree = KeyTree::from_root(Zeroizing::new([31; 32]));
    let epoch = Epoch {
        commitment: tree.commitment(&name).unwrap(),
        started: Timestamp::from_unix_ms(STARTED_MS).unwrap(),
        recipients,
        continues: Continues {
            reason: if how.epoch_hidden { EpochReason::Rotation } else { EpochReason::Start },
            previous: how.epoch_hidden.then(|| StreamPosition {
                stream: stream("camera/102/main/20261120T105958Z"),
                seq: 300,
                leaf: Hash([6; 32]),
            }),
        },
        attachments: vec![AttachmentRef::of("wraps", &[3; 40], true)],
    };
    log.append(|log| &mut log.camera, STARTED_MS, Body::Epoch(epoch));
    how.between.inspect(|hook| hook(log, 0));
    let (disclosures, files) = (RefCell::new(Vec::new()), RefCell::new(Files::default()));
    for number in 1..=SEGMENTS {
        let seq = log.camera.next_seq;
        let late_ms = how.late.filter(|(late, _)| *late <= number).map_or(0, |(_, ms)| ms);
        let slot = u32::try_from((number - 1) * 2).unwrap();
        let slot_key = || tree.slot_key(slot).unwrap();
        let plaintexts = crate::media::fragments(number);
        let mut sealer = SegmentSealer::new(&name, seq, slot_key(), [9; 16]);
        let ciphertexts: Vec<_> = plaintexts.iter().enumerate().map(|(index, plaintext)| sealer.seal(plaintext, index == 1)).collect();
        let sealed = sealer.finish();
        let segment = Segment {
            slot,
            salt: [9; 16],
            start: Timestamp::from_unix_ms(segment_start_ms(number) + late_ms).unwrap(),
            duration_ms: 2_000,
            media_type: "video/mp4".to_owned(),
            random_access: how.dependent != Some(number),
            fragment_lengths: sealed.fragment_lengths,
            ciphertext_root: sealed.ciphertext_root,
            commitment_root: sealed.commitment_root,
            attachments: vec![],
        };
        if ASKED.contains(&number) {
            let opener = SegmentOpener::new(&name, seq, &segment, slot_key());
            let opened: Vec<_> = (0u32..).zip(&ciphertexts).map(|(index, bytes)| opener.open(index, bytes).unwrap()).collect();
            for (index, fragment) in (0u32..).zip(&opened) {
                files.borrow_mut().0.insert(fragment_path(name.as_str(), seq, index), fragment.plaintext.clone());
            }
            disclosures.borrow_mut().push(Disclosure {
                type_name: DISCLOSURE_TYPE.to_owned(),
                stream: name.as_str().to_owned(),
                seq,
                commitments: opened.iter().map(|fragment| fragment.commitment.to_string()).collect(),
                fragments: (0u32..)
                    .zip(&opened)
                    .map(|(index, fragment)| DisclosedFragment { index, key: hex::encode(*fragment.key.0) })
                    .collect(),
            });
        }
        if how.unchained == Some(number) {
            log.camera.prev = Hash([8; 32]);
        }
        log.append(|log| &mut log.camera, segment_start_ms(number) + late_ms + 2_100, Body::Segment(segment));
        if how.forged == Some(number) {
            log.camera.prev = log.forge_last();
        }
        how.between.inspect(|hook| hook(log, number));
    }
    let close = Close { reason: CloseReason::Stop, attachments: vec![] };
    log.append(|log| &mut log.camera, segment_start_ms(SEGMENTS) + 2_200, Body::Close(close));
    let of_camera = |(index, entry): (u64, &SignedStatement)| (entry.statement().stream == name).then_some(index);
    let indexes = (0..).zip(&log.entries).filter_map(of_camera).collect();
    (indexes, disclosures.into_inner(), files.into_inner())
}
