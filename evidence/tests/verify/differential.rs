//! Bundles and anchors changed at random: whatever was done to them, the verifier in Python finds what ours does.
//!
//! `EXHIBIT_SEED=<number>` makes other changes, `EXHIBIT_ROUNDS=<number>` more bundles. What ever disagreed is a vector of its own elsewhere.

use exhibit_evidence::Anchor;
use exhibit_evidence::bundle::MANIFEST;
use exhibit_evidence::verdict::Axis;
use exhibit_pki::Timestamp;
use serde_json::{Value, json};

use crate::chance::{Random, seed_and_rounds};
use crate::independent::{disagreements, python_can};
use crate::synthetic::Files;
use crate::trials::{Trials, trials};

/// Bundles changed in a run of `make test`.
const ROUNDS: u64 = 40;
/// Changes to each, at most.
const CHANGES_MAX: u64 = 4;
const SEED: u64 = 20_261_121;

#[test]
fn both_verifiers_find_the_same_in_bundles_that_were_changed_at_random() {
    if !python_can() {
        return;
    }
    let (seed, rounds) = seed_and_rounds(SEED, ROUNDS);
    let bases = trials();
    let mut changed = Trials::new();
    for round in rounds {
        let mut random = Random::of(seed, round);
        let base = random.one_of(&bases.all);
        let Ok(mut anchor) = Anchor::parse(&std::fs::read(base.place.join("anchor.json")).unwrap()) else { continue };
        let (mut files, mut done) = (base.files.clone(), Vec::new());
        for _ in 0..=random.below(CHANGES_MAX as usize) {
            done.push(change(&mut files, &mut anchor, &mut random));
        }
        changed.add_files(&format!("round {round} of seed {seed}, of {:?}: {done:?}", base.name), &files, &anchor);
    }
    let disagree = disagreements(&changed.all);
    for text in &disagree {
        eprintln!("{text}\n");
    }
    assert!(disagree.is_empty(), "the two verifiers disagree on {} of {} bundles", disagree.len(), changed.all.len());
}

/// Does one thing, and says what.
fn change(files: &mut Files, anchor: &mut Anchor, random: &mut Random) -> String {
    match random.below(10) {
        0..4 => change_manifest(files, random),
        4..7 => change_file(files, random),
        7 => change_disclosure(files, random),
        _ => change_anchor(anchor, random),
    }
}

fn change_manifest(files: &mut Files, random: &mut Random) -> String {
    let Some(mut manifest) = files.0.get(MANIFEST).and_then(|json| serde_json::from_slice::<Value>(json).ok()) else {
        return "there is no manifest".to_owned();
    };
    let what = match random.below(8) {
        0 => shift_interval(&mut manifest, random),
        1 => {
            let series = *random.one_of(&["camera/102/main", "camera/102/events", "camera/103/main", "camera/102", "camera/102/main/hd"]);
            manifest["question"]["series"] = json!(series);
            format!("asks for {series}")
        }
        2 => leave_out(&mut manifest, "segments", random),
        3 => leave_out(&mut manifest, "files", random),
        4 => {
            let sample = json!({"stream": "camera/102/main/20261120T115958Z", "seq": random.below(10)});
            let Some(segments) = manifest["segments"].as_array_mut() else { return "has no segments".to_owned() };
            let said = format!("discloses {sample}");
            segments.push(sample);
            segments.sort_by_key(|segment| (segment["stream"].to_string(), segment["seq"].as_u64()));
            said
        }
        _ => leave_out(&mut manifest, "entries", random),
    };
    files.0.insert(MANIFEST.to_owned(), serde_json::to_vec(&manifest).unwrap());
    what
}

fn leave_out(manifest: &mut Value, list: &str, random: &mut Random) -> String {
    let Some(items) = manifest[list].as_array_mut().filter(|items| !items.is_empty()) else { return format!("has no {list}") };
    let first = random.below(items.len());
    let count = (1 + random.below(3)).min(items.len() - first);
    items.drain(first..first + count);
    format!("leaves {count} of {list} out from {first} on")
}

/// By what decides: milliseconds about a boundary, a tolerance, a segment.
fn shift_interval(manifest: &mut Value, random: &mut Random) -> String {
    let end = *random.one_of(&["from", "to"]);
    let text = manifest["question"][end].as_str().unwrap_or_default();
    let Ok(time) = Timestamp::parse(text) else { return "asks for no interval".to_owned() };
    let by_ms = *random.one_of(&[1, 2, 500, 999, 1_000, 1_001, 2_000, 3_000, 4_000, 60_000]);
    let shifted = if random.below(2) == 0 { time.unix_ms() + by_ms } else { time.unix_ms() - by_ms };
    let shifted = Timestamp::from_unix_ms(shifted).unwrap().to_string();
    manifest["question"][end] = json!(shifted);
    format!("asks {end} {shifted}")
}

fn change_file(files: &mut Files, random: &mut Random) -> String {
    let names: Vec<String> = files.0.keys().cloned().collect();
    let name = random.one_of(&names);
    let of_kind: Vec<&String> = names.iter().filter(|other| kind(other) == kind(name)).collect();
    let other = files.0[*random.one_of(&of_kind)].clone();
    let at = random.next() as usize;
    let operation = random.below(6);
    let bytes = files.0.get_mut(name).unwrap();
    match operation {
        0 => drop(files.0.remove(name)),
        1 => bytes.truncate(at % (bytes.len() + 1)),
        2 => *bytes = other,
        3 => bytes.push(b'\n'),
        4 => bytes.insert(at % (bytes.len() + 1), b' '),
        _ if !bytes.is_empty() => {
            let at = at % bytes.len();
            bytes[at] ^= 1 << random.below(8);
        }
        _ => {}
    }
    format!("operation {operation} at {at} on {name}")
}

fn kind(name: &str) -> (&str, &str) {
    (name.split('/').next().unwrap_or_default(), name.rsplit('.').next().unwrap_or_default())
}

fn change_disclosure(files: &mut Files, random: &mut Random) -> String {
    let names: Vec<String> = files.0.keys().filter(|name| name.ends_with("disclosure.json")).cloned().collect();
    if names.is_empty() {
        return "discloses nothing".to_owned();
    }
    let name = random.one_of(&names).clone();
    let Ok(mut disclosure) = serde_json::from_slice::<Value>(&files.0[&name]) else { return format!("{name} is none") };
    let what = match random.below(4) {
        0 => leave_out(&mut disclosure, "fragments", random),
        1 => leave_out(&mut disclosure, "commitments", random),
        2 => {
            let index = random.below(4);
            disclosure["fragments"][0]["index"] = json!(index);
            format!("index {index}")
        }
        _ => {
            let seq = random.below(6);
            disclosure["seq"] = json!(seq);
            format!("seq {seq}")
        }
    };
    files.0.insert(name.clone(), serde_json::to_vec(&disclosure).unwrap());
    format!("{name}: {what}")
}

fn change_anchor(anchor: &mut Anchor, random: &mut Random) -> String {
    let policy = &mut anchor.policy;
    match random.below(6) {
        0 => {
            let axes = [Axis::Witness, Axis::Time, Axis::Revocation, Axis::Device];
            let axis = *random.one_of(&axes);
            if policy.demands.contains(&axis) {
                policy.demands.retain(|demanded| *demanded != axis)
            } else {
                policy.demands.push(axis)
            }
            format!("demands {:?}", policy.demands)
        }
        1 => {
            policy.witnesses = None;
            "knows no witness".to_owned()
        }
        2 => {
            let count = policy.timestamp_authorities.len();
            if count > 0 {
                let authority = &mut policy.timestamp_authorities[random.below(count)];
                authority.independent = !authority.independent;
            }
            "labels an authority otherwise".to_owned()
        }
        3 => {
            let count = policy.timestamp_authorities.len();
            if count > 0 {
                policy.timestamp_authorities.remove(random.below(count));
            }
            "believes one authority less".to_owned()
        }
        4 => {
            if let Some(pinned) = &mut policy.custodians {
                pinned.threshold = 1 + random.below(pinned.certificates.len()) as u64;
            }
            "another threshold".to_owned()
        }
        _ => {
            use exhibit_evidence::anchor::DeviceLevel;
            policy.device = *random.one_of(&[None, Some(DeviceLevel::Software), Some(DeviceLevel::AllowListed)]);
            format!("device {:?}", policy.device)
        }
    }
}
