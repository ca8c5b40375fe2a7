//! The content: every segment on the ledger has its ciphertext, which hashes as signed and opens with the custodian's key.
//!
//! It gets it as everybody has to: against a signed `fetch`.

use std::collections::HashMap;

use exhibit_client::{Appliance, Issuer};
use exhibit_evidence::{
    Body, SignedStatement, StreamName,
    body::{Fetch, RANGES_MAX, Segment, SeqRange},
    envelope::{self, KeyPackage},
    keytree::KeyTree,
    segment::{CiphertextChecker, SegmentOpener, commitment_root},
};
use exhibit_tlog::Hash;

use super::{Case, Entry, Report};
use crate::world::{Person, now};

/// Fetches and opens every segment that the custodian is a recipient of; panics if there is one that is not.
pub(crate) async fn judge(case: &Case<'_>, entries: &[Entry], report: &mut Report) {
    let segments: Vec<(&SignedStatement, &Segment)> = entries
        .iter()
        .filter_map(|entry| match &entry.signed.statement().body {
            Body::Segment(segment) => Some((&entry.signed, segment)),
            _ => None,
        })
        .collect();
    let mut appliance = case.custodian.connect(case.world);
    let mut trees: HashMap<&StreamName, KeyTree> = HashMap::new();
    for entry in entries {
        if let Body::Epoch(_) = entry.signed.statement().body {
            let tree = open_epoch(&mut appliance, case.custodian, &entry.signed).await;
            trees.insert(&entry.signed.statement().stream, tree);
        }
    }
    let fetches = request(case, &mut appliance, &segments).await;
    for (signed, segment) in segments {
        let statement = signed.statement();
        let (stream, seq) = (statement.stream.as_str(), statement.seq);
        let fetch = fetches[&(stream, seq)];
        let length: u64 = segment.fragment_lengths.iter().map(|length| u64::from(*length)).sum();
        let path = format!("/v1/payloads/{stream}/{seq}?fetch={fetch}");
        let ciphertext = appliance
            .get_bytes(&path, length)
            .await
            .unwrap_or_else(|error| panic!("segment {seq} of {stream} is on the ledger, and its ciphertext is lost: {error}"));
        let mut checker = CiphertextChecker::new(segment);
        checker.update(&ciphertext);
        checker.finish().unwrap_or_else(|error| panic!("the ciphertext of segment {seq} of {stream} was changed: {error}"));
        open(&trees[&statement.stream], statement.seq, &statement.stream, segment, &ciphertext, report);
        report.segments += 1;
    }
}

/// The whole tree of an epoch, out of the wrap that the camera made for the custodian.
async fn open_epoch(appliance: &mut Appliance, custodian: &Person, epoch: &SignedStatement) -> KeyTree {
    let statement = epoch.statement();
    let Body::Epoch(stated) = &statement.body else { panic!("this is not an epoch") };
    let named = statement.body.attachment("wraps").expect("an epoch has its wraps");
    let stored = appliance.attachment(named).await.expect("the wraps of an epoch were lost");
    let wraps = named.open(&stored).expect("the client has compared the hash");
    let (certificate, key) = custodian.wrapping();
    let content = envelope::open(wraps, &certificate, &key).expect("the epoch is wrapped to the custodian");
    let package = KeyPackage::parse(&content).expect("the camera wraps key packages");
    let keys = package.streams.into_iter().find(|keys| keys.stream == statement.stream).expect("the keys are of this epoch");
    let tree = KeyTree::from_nodes(keys.nodes).expect("the root is a tree");
    assert_eq!(tree.commitment(&statement.stream), Some(stated.commitment), "{} is sealed with other keys than wrapped", statement.stream);
    tree
}

/// Signs requests for all the segments; which one stands for which.
async fn request<'a>(
    case: &Case<'_>,
    appliance: &mut Appliance,
    segments: &[(&'a SignedStatement, &Segment)],
) -> HashMap<(&'a str, u64), Hash> {
    let mut ranges: Vec<SeqRange> = Vec::new();
    let mut sorted: Vec<_> = segments.iter().map(|(signed, _)| (&signed.statement().stream, signed.statement().seq)).collect();
    sorted.sort();
    for (stream, seq) in &sorted {
        match ranges.last_mut() {
            Some(range) if range.stream == **stream && range.last + 1 == *seq => range.last = *seq,
            _ => ranges.push(SeqRange { stream: (*stream).clone(), first: *seq, last: *seq }),
        }
    }
    let identity = case.custodian.identity();
    let mut issuer = Issuer::open(&case.custodian.folder, &case.custodian.subject, identity, case.world.anchor().log, now())
        .expect("nobody else is issuing as the custodian");
    let mut fetches = HashMap::new();
    for ranges in ranges.chunks(RANGES_MAX) {
        let body = Body::Fetch(Fetch { grant: None, ranges: ranges.to_vec(), attachments: vec![] });
        let (signed, _) = issuer.issue(appliance, body, &[], now()).await.expect("a recipient may fetch");
        for (stream, seq) in &sorted {
            if ranges.iter().any(|range| range.stream == **stream && (range.first..=range.last).contains(seq)) {
                fetches.insert((stream.as_str(), *seq), signed.leaf_hash());
            }
        }
    }
    fetches
}

/// Opens every fragment, and compares what came out with what the camera committed to.
fn open(tree: &KeyTree, seq: u64, stream: &StreamName, segment: &Segment, ciphertext: &[u8], report: &mut Report) {
    let key = tree.slot_key(segment.slot).expect("the whole tree is held");
    let opener = SegmentOpener::new(stream, seq, segment, key);
    let mut commitments = Vec::new();
    let mut rest = ciphertext;
    for (index, length) in (0..).zip(&segment.fragment_lengths) {
        let (fragment, after) = rest.split_at(*length as usize);
        rest = after;
        let opened = opener.open(index, fragment).unwrap_or_else(|error| panic!("segment {seq} of {stream} does not decrypt: {error}"));
        commitments.push(opened.commitment);
        report.fragments += 1;
        report.bytes += opened.plaintext.len() as u64;
    }
    assert_eq!(commitment_root(&commitments), segment.commitment_root, "segment {seq} of {stream} holds something else than was signed");
}
