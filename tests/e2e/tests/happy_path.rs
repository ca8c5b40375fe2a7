//! The main job, end to end: real video from a camera with a TPM to a verdict, and every way of spoiling what was exported.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use exhibit_e2e::{
    agent::AgentCamera,
    oracle::{self, Case},
    process::{Outcome, program, run},
    seed::Dice,
    world::{Person, World},
};
use exhibit_evidence::bundle::{Disclosure, Manifest, disclosure_path, entry_path, fragment_path, receipt_path};
use exhibit_pki::Timestamp;
use serde_json::Value;

/// Debian's opencv-doc: a real surveillance camera, 768x576 at 10 frames a second.
const CLIP: &str = "/usr/share/doc/opencv-doc/examples/data/vtest.avi";
/// So much of it is played, as fast as it was filmed.
const CLIP_S: u64 = 10;
/// Where there is no such clip, the test picture is filmed for as long, at 20 frames a second.
const TEST_FRAMES: u64 = 200;

/// What the main job leaves behind.
struct Made {
    world: World,
    bundle: PathBuf,
    manifest: Manifest,
    /// How long the segments in it play, in milliseconds.
    duration_ms: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_video_reaches_a_verdict_and_every_change_is_found() {
    let made = make().await;
    judged_by_the_right_anchor_only(&made);
    plays(&made);
    opens_with_openssl(&made);
    a_changed_fragment_is_named(&made);
    each_kind_of_change_is_told_as_what_it_is(&made);
    what_is_missing_or_elsewhere_is_found(&made);
    no_byte_of_any_file_can_be_changed(&made);
}

/// Records, shares a back-dated range, fetches it as the investigator, and exports.
async fn make() -> Made {
    let world = World::start();
    let custodian = world.person("custodian", "custodian");
    let investigator = world.person("investigator", "investigator");
    let auditor = world.person("auditor", "auditor");
    let camera = AgentCamera::enrol(&world, "102", &custodian);
    world.set_recipients(&custodian, &camera.subject);

    let recorded = camera.record(&world, &source(world.folder()), &[]);
    let sealed = recorded.of("sealed");
    assert!(sealed.len() >= 4, "ten seconds are at least four segments: {sealed:?}");
    assert_eq!(recorded.ended("unsent"), 0, "something was not uploaded");
    assert_eq!(recorded.ended("findings"), 0, "the agent has found something: {:?}", recorded.of("finding"));
    assert_eq!(recorded.of("acknowledged").len(), sealed.len() + 2, "epoch, segments and close are on the ledger");
    // A second epoch, of the test picture, as fast as it goes.
    let again = camera.record(&world, "test:100", &["--no-live-speed"]);
    assert!(again.of("sealed").len() >= 2 && again.ended("unsent") == 0);

    let case = Case { world: &world, auditor: &auditor, custodian: &custodian, cameras: &[&camera], told: &[], remembered: &[] };
    let report = oracle::judge(&case).await;
    assert_eq!(report.segments, (sealed.len() + again.of("sealed").len()) as u64, "what was sealed is on the ledger, and opens");
    assert_eq!(report.receipts, report.segments + 4, "two epochs and their ends have receipts too");
    assert_eq!((report.unsent, report.contradictions), (0, 0));

    // The middle of what was recorded: from the start of the second segment to the end of the last but one.
    let time = |event: &Value| Timestamp::parse(event["start"].as_str().unwrap()).unwrap();
    let (first, last) = (sealed[1], sealed[sealed.len() - 2]);
    let to = time(last).checked_add_ms(last["duration_ms"].as_u64().unwrap()).unwrap();
    let (from, to) = (time(first).to_string(), to.to_string());
    let grantee = investigator.path("wrapping.pem");
    let share = ["share", "--scope", "camera/102", "--from", &from, "--to", &to, "--grantee", &grantee, "--purpose", "case 7"];
    let grant = world.exhibit(&custodian, &share).expect(0).text("grant");
    let folder = |name: &str| world.folder().join(name).to_str().unwrap().to_owned();
    let (case, bundle) = (folder("case"), folder("bundle"));
    let fetched = world.exhibit(&investigator, &["fetch", "--grant", &grant, "--out", &case]).expect(0);
    let exported = world.exhibit(&investigator, &["export", "--case", &case, "--out", &bundle, "--purpose", "court"]).expect(0);
    assert_eq!(exported.json()["segments"], fetched.json()["segments"]);

    let manifest = Manifest::parse(&fs::read(Path::new(&bundle).join("manifest.json")).unwrap()).unwrap();
    assert!(manifest.segments.len() >= sealed.len() - 2, "what was granted was not exported: {:?}", manifest.segments);
    let duration_of = |seq: u64| sealed.iter().find(|event| event["seq"] == seq).unwrap()["duration_ms"].as_u64().unwrap();
    let duration_ms = manifest.segments.iter().map(|segment| duration_of(segment.seq)).sum();
    the_plain_lists_agree(&world, &custodian, sealed[0]["stream"].as_str().unwrap());
    Made { world, bundle: bundle.into(), manifest, duration_ms }
}

/// The first seconds of the clip, not encoded again; or the test picture where the clip is not installed.
fn source(folder: &Path) -> String {
    if !Path::new(CLIP).exists() {
        assert!(std::env::var_os("EXHIBIT_TEST_ALL").is_none(), "{CLIP} is missing: run make packages");
        eprintln!("{CLIP} is not there (Debian's opencv-doc): the test picture takes its place");
        return format!("test:{TEST_FRAMES}");
    }
    let clip = folder.join("clip.avi");
    let mut cut = Command::new("ffmpeg");
    run(cut.args(["-v", "error", "-t", &CLIP_S.to_string(), "-i", CLIP, "-c", "copy"]).arg(&clip)).expect(0);
    format!("file:{}", clip.display())
}

fn the_plain_lists_agree(world: &World, custodian: &Person, stream: &str) {
    let streams = world.exhibit(custodian, &["streams", "--prefix", "camera/102/"]).expect(0).json();
    let names: Vec<_> = streams["streams"].as_array().unwrap().iter().map(|record| record["stream"].as_str().unwrap()).collect();
    assert!(names.len() == 2 && names.contains(&stream), "the camera has two epochs: {names:?}");
    let shown = world.exhibit(custodian, &["recipients", "show", "--scope", "camera/102"]).expect(0).json();
    assert_eq!((shown["number"].as_u64(), shown["threshold"].as_u64()), (Some(1), Some(1)));
}

/// `exhibit verify --json`, with nothing but a bundle and an anchor.
fn verify(bundle: &Path, anchor: &Path) -> Outcome {
    run(Command::new(program("exhibit")).args(["--json", "verify"]).arg(bundle).arg("--anchor").arg(anchor))
}

fn judged_by_the_right_anchor_only(made: &Made) {
    let anchor = made.world.anchor_path();
    let good = verify(&made.bundle, &anchor).expect(0).json();
    assert_ne!(good["grade"], "bad", "{good}");
    assert!(good["counts"]["fragments"].as_u64().unwrap() >= 3 * made.manifest.segments.len() as u64, "{}", good["counts"]);
    let spoken = run(Command::new(program("exhibit")).arg("verify").arg(&made.bundle).arg("--anchor").arg(&anchor)).expect(0);
    assert!(spoken.stdout.starts_with("VERIFIED"), "{}", spoken.stdout);
    assert!(spoken.stdout.contains("truth of the scene"), "what is not proven is said: {}", spoken.stdout);

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut unread = Command::new(program("exhibit"));
    let unread = unread.arg("verify").arg(&made.bundle).arg("--anchor").arg(&anchor).stdout(writer).status().unwrap();
    assert_eq!(unread.code(), Some(0), "a verdict that nobody reads to its end (| head) is another one");

    let without = run(Command::new(program("exhibit")).arg("verify").arg(&made.bundle)).expect(2);
    assert!(without.stderr.contains("--anchor"), "{}", without.stderr);
    let other = made.world.create_log("other-log", "city.example/log/2").join("anchor.json");
    let error = verify(&made.bundle, &other).expect(2).stderr;
    assert!(error.contains("another") || error.contains("ask the operator"), "{error}");
    // Its own log's name and keys, and roots of somebody else.
    let swapped = made.world.folder().join("swapped.json");
    let text = |path: &Path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
    let mut forged = text(&anchor);
    forged["keys"] = text(&other)["keys"].clone();
    fs::write(&swapped, forged.to_string()).unwrap();
    assert_ne!(verify(&made.bundle, &swapped).code, Some(0), "a log with other keys was believed");
    let beside = made.bundle.join("anchor.json");
    fs::copy(&anchor, &beside).unwrap();
    verify(&made.bundle, &beside).expect(2);
    fs::remove_file(&beside).unwrap();
}

fn plays(made: &Made) {
    let copies: Vec<_> = made.manifest.files.iter().filter(|file| file.path.starts_with("working/")).collect();
    assert_eq!(copies.len(), 1, "the encoder's header did not change, and neither did the file");
    let path = made.bundle.join(&copies[0].path);
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-count_frames", "-select_streams", "v:0"]);
    probe.args(["-show_entries", "stream=nb_read_frames,r_frame_rate:format=duration", "-of", "json"]);
    let probed = run(probe.arg(&path)).expect(0);
    assert_eq!(probed.stderr.trim(), "", "the working copy does not play without complaint");
    let json = probed.json();
    let seconds: f64 = json["format"]["duration"].as_str().unwrap().parse().unwrap();
    let expected = made.duration_ms as f64 / 1000.0;
    assert!((seconds - expected).abs() < 0.5, "it plays {seconds} s, and {expected} s were exported");
    let (count, per_s) = json["streams"][0]["r_frame_rate"].as_str().unwrap().split_once('/').unwrap();
    let rate = count.parse::<f64>().unwrap() / per_s.parse::<f64>().unwrap();
    let frames: f64 = json["streams"][0]["nb_read_frames"].as_str().unwrap().parse().unwrap();
    assert!((frames - expected * rate).abs() <= rate / 2.0, "{frames} frames in {expected} s at {rate} a second");
}

/// The commands of the bundle's own README: as printed there, and then with the names of every other file.
fn opens_with_openssl(made: &Made) {
    let folder = copy(made, "openssl");
    fs::copy(made.world.anchor_path(), folder.parent().unwrap().join("anchor.json")).unwrap();
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let commands: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let begin = commands.iter().position(|line| line.starts_with("python3")).unwrap();
    let middle = commands.iter().position(|line| line.starts_with("J=")).unwrap();
    let shell = |script: &str| run(Command::new("bash").args(["-euo", "pipefail", "-c", script]).current_dir(&folder)).expect(0);
    // Not all that statements name is a certificate.
    fs::write(folder.join("attachments").join("0".repeat(64)), b"what a TPM said").unwrap();

    // Every statement in the bundle, camera's, person's, authority's and appliance's alike.
    let signature = commands[begin..middle].join("\n");
    shell(&signature);
    let example = signature.split_whitespace().find(|word| word.starts_with("entries/")).unwrap();
    assert!(folder.join(example).is_file(), "the README names an entry that is not in the bundle: {example}");
    let mut kinds = Vec::new();
    for index in &made.manifest.entries {
        let path = entry_path(*index);
        let said = shell(&signature.replace(example, &path)).stderr;
        assert_eq!(said.trim(), "CAdES Verification successful", "whoever pastes the commands sees what does not matter");
        let given = fs::read(folder.join("statement.json")).unwrap();
        let signed = exhibit_evidence::SignedStatement::parse(&fs::read(folder.join(&path)).unwrap()).unwrap();
        assert_eq!(given, signed.statement_bytes(), "openssl gives back something else than was signed in {path}");
        kinds.push(signed.statement().type_name().to_owned());
    }
    for kind in ["genesis/v1", "certificate/v1", "recipients/v1", "epoch/v1", "segment/v1", "grant/v1", "fetch/v1"] {
        assert!(kinds.iter().any(|found| found == kind), "the bundle has no {kind}: {kinds:?}");
    }
    // A statement that was changed is not opened by the same commands.
    let path = folder.join(entry_path(made.manifest.entries[1]));
    let mut entry = fs::read(&path).unwrap();
    let last = entry.len() - 1;
    entry[last] ^= 1;
    fs::write(&path, entry).unwrap();
    let script = signature.replace(example, &entry_path(made.manifest.entries[1]));
    assert_ne!(run(Command::new("bash").args(["-euo", "pipefail", "-c", &script]).current_dir(&folder)).code, Some(0));

    // Every fragment of a segment.
    let commitment = commands[middle..].join("\n");
    let segment = &made.manifest.segments[0];
    let disclosure = Disclosure::parse(&fs::read(folder.join(disclosure_path(&segment.stream, segment.seq))).unwrap()).unwrap();
    for fragment in &disclosure.fragments {
        let last = u8::from(fragment.index as usize + 1 == disclosure.commitments.len());
        let file = fragment_path(&segment.stream, segment.seq, fragment.index);
        let words = format!("J={:08x} L={last:02x} FILE={file} KEY={}", fragment.index, fragment.key);
        let example = commitment.lines().next().unwrap();
        assert!(fragment.index != 0 || example == words, "the README's example is the first fragment: {example}");
        let printed = shell(&commitment.replace(example, &words)).stdout;
        let expected = &disclosure.commitments[fragment.index as usize];
        assert!(printed.trim().ends_with(expected.as_str()), "fragment {}: openssl says {printed}, not {expected}", fragment.index);
    }
}

fn a_changed_fragment_is_named(made: &Made) {
    let folder = copy(made, "fragment");
    // The third fragment of the second segment: 1 s into it.
    let segment = &made.manifest.segments[1];
    flip(&folder.join(fragment_path(&segment.stream, segment.seq, 2)), 1_000);
    let verdict = spoiled(made, &folder, "fragment-altered");
    let finding = finding(&verdict, "fragment-altered");
    assert_eq!(finding["place"]["stream"], segment.stream.as_str());
    assert_eq!(finding["place"]["seq"], segment.seq);
    assert_eq!(finding["place"]["fragment"], 2);
    let time = finding["place"]["time"].as_str().unwrap();
    Timestamp::parse(time).unwrap();
    let anchor = made.world.anchor_path();
    let spoken = run(Command::new(program("exhibit")).arg("verify").arg(&folder).arg("--anchor").arg(anchor)).expect(1);
    assert!(spoken.stdout.starts_with("NOT AUTHENTIC"), "{}", spoken.stdout);
    for words in [&format!("segment {}", segment.seq), "fragment 2", time] {
        assert!(spoken.stdout.contains(words), "the verdict does not say {words}:\n{}", spoken.stdout);
    }
    let axes = verdict["axes"].as_array().unwrap();
    assert!(axes.contains(&serde_json::json!(["payload", "bad"])), "{axes:?}");
    assert!(axes.contains(&serde_json::json!(["signature", "good"])), "the statements are as they were: {axes:?}");
}

fn each_kind_of_change_is_told_as_what_it_is(made: &Made) {
    let segment = &made.manifest.segments[0];
    let (entry, middle) = (made.manifest.entries[2], made.manifest.entries[made.manifest.entries.len() / 2]);
    let attachment = fs::read_dir(made.bundle.join("attachments")).unwrap().next().unwrap().unwrap().file_name();
    let working = &made.manifest.files.iter().find(|file| file.path.starts_with("working/")).unwrap().path;
    let cases = [
        ("receipt", receipt_path(middle), "receipt"),
        ("entry", entry_path(entry), "receipt"),
        ("checkpoint", "checkpoint".to_owned(), "receipt"),
        ("working copy", working.clone(), "file-altered"),
        ("certificate", format!("attachments/{}", attachment.to_str().unwrap()), "file-altered"),
        ("readme", "README.md".to_owned(), "file-altered"),
        ("exporter's statement", "export.p7s".to_owned(), "receipt"),
        ("exporter's receipt", "export.tlog-proof".to_owned(), "receipt"),
    ];
    for (what, path, kind) in cases {
        let folder = copy(made, "changed");
        let file = folder.join(&path);
        let length = fs::metadata(&file).unwrap().len();
        flip(&file, usize::try_from(length).unwrap() / 2);
        eprintln!("{what}: {path}");
        spoiled(made, &folder, kind);
    }
    // Two that have to stay what they are to be read at all.
    let folder = copy(made, "changed");
    replace(&folder.join("manifest.json"), &made.manifest.created, "2020-01-01T00:00:00.000Z");
    spoiled(made, &folder, "export");
    let folder = copy(made, "changed");
    let path = disclosure_path(&segment.stream, segment.seq);
    let disclosure = Disclosure::parse(&fs::read(folder.join(&path)).unwrap()).unwrap();
    replace(&folder.join(&path), &disclosure.fragments[1].key, &disclosure.fragments[0].key);
    spoiled(made, &folder, "fragment-altered");
    let folder = copy(made, "changed");
    replace(&folder.join(&path), &disclosure.commitments[1], &disclosure.commitments[0]);
    spoiled(made, &folder, "commitments");
}

fn what_is_missing_or_elsewhere_is_found(made: &Made) {
    let (first, second) = (&made.manifest.segments[0], &made.manifest.segments[1]);
    let paths = [
        fragment_path(&first.stream, first.seq, 1),
        disclosure_path(&first.stream, first.seq),
        receipt_path(made.manifest.entries[1]),
        entry_path(made.manifest.entries[1]),
        "checkpoint".to_owned(),
        "export.p7s".to_owned(),
        "export.tlog-proof".to_owned(),
        "README.md".to_owned(),
    ];
    for path in paths {
        let folder = copy(made, "missing");
        fs::remove_file(folder.join(&path)).unwrap();
        let verdict = spoiled(made, &folder, "file-missing");
        assert!(finding(&verdict, "file-missing")["sentence"].as_str().unwrap().contains(&path), "the finding does not name {path}");
    }
    let folder = copy(made, "missing");
    fs::remove_file(folder.join("manifest.json")).unwrap();
    verify(&folder, &made.world.anchor_path()).expect(2);

    // Two fragments in each other's place: of one segment, and of two.
    for (one, other) in [(first, first), (first, second)] {
        let folder = copy(made, "swapped");
        swap(&folder.join(fragment_path(&one.stream, one.seq, 0)), &folder.join(fragment_path(&other.stream, other.seq, 1)));
        let verdict = spoiled(made, &folder, "fragment-altered");
        let found = verdict["findings"].as_array().unwrap().iter().filter(|finding| finding["kind"] == "fragment-altered").count();
        assert_eq!(found, 2, "both are found: {verdict}");
    }
    // Two segments, each with all that belongs to it, in each other's place.
    let folder = copy(made, "swapped");
    let place = |segment: &exhibit_evidence::bundle::DisclosedSegment| {
        folder.join(disclosure_path(&segment.stream, segment.seq)).parent().unwrap().to_owned()
    };
    swap(&place(first), &place(second));
    spoiled(made, &folder, "commitments");

    // A segment dropped from the middle, its statement and every mention of it.
    let folder = copy(made, "dropped");
    let dropped = &made.manifest.segments[1];
    let index = made.manifest.entries.iter().copied().find(|index| {
        let signed = exhibit_evidence::SignedStatement::parse(&fs::read(folder.join(entry_path(*index))).unwrap()).unwrap();
        let statement = signed.statement();
        statement.stream.as_str() == dropped.stream && statement.seq == dropped.seq
    });
    let index = index.unwrap();
    let mut manifest = made.manifest.clone();
    manifest.entries.retain(|entry| *entry != index);
    manifest.segments.retain(|segment| segment != dropped);
    fs::write(folder.join("manifest.json"), serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
    fs::remove_file(folder.join(entry_path(index))).unwrap();
    fs::remove_file(folder.join(receipt_path(index))).unwrap();
    let verdict = spoiled(made, &folder, "chain-hole");
    finding(&verdict, "export");
}

/// One bit of one byte, anywhere, in every file that there is.
fn no_byte_of_any_file_can_be_changed(made: &Made) {
    let mut dice = Dice::new("no_byte_of_any_file_can_be_changed");
    let folder = copy(made, "bits");
    let anchor = made.world.anchor_path();
    let mut waiting = vec![folder.clone()];
    let mut files = 0;
    while let Some(inner) = waiting.pop() {
        for entry in fs::read_dir(inner).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let whole = fs::read(&path).unwrap();
            let mut changed = whole.clone();
            let (position, bit) = (dice.below(whole.len() as u64), dice.below(8));
            changed[usize::try_from(position).unwrap()] ^= 1 << bit;
            fs::write(&path, &changed).unwrap();
            let outcome = verify(&folder, &anchor);
            // A manifest that is none, or of another log, can not be judged at all.
            let allowed: &[i32] = if path.ends_with("manifest.json") { &[1, 2] } else { &[1] };
            let (name, code) = (path.strip_prefix(&folder).unwrap().display(), outcome.code.unwrap());
            assert!(allowed.contains(&code), "bit {bit} of byte {position} of {name} was changed, and exit is {code}:\n{}", outcome.stdout);
            fs::write(&path, &whole).unwrap();
            files += 1;
        }
    }
    assert!(files > 20, "a bundle has more files than {files}");
    verify(&folder, &anchor).expect(0);
}

/// A fresh copy of the bundle.
fn copy(made: &Made, name: &str) -> PathBuf {
    let folder = made.world.folder().join("spoiled").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    copy_tree(&made.bundle, &folder);
    folder
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn flip(path: &Path, position: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[position] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn swap(one: &Path, other: &Path) {
    let aside = one.with_extension("aside");
    fs::rename(one, &aside).unwrap();
    fs::rename(other, one).unwrap();
    fs::rename(&aside, other).unwrap();
}

fn replace(path: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(old) && old != new, "{} does not hold {old}", path.display());
    fs::write(path, text.replace(old, new)).unwrap();
}

/// Demands that a bundle is judged bad, with a finding of that kind.
#[track_caller]
fn spoiled(made: &Made, bundle: &Path, kind: &str) -> Value {
    let verdict = verify(bundle, &made.world.anchor_path()).expect(1).json();
    assert_eq!(verdict["grade"], "bad");
    finding(&verdict, kind);
    verdict
}

#[track_caller]
fn finding(verdict: &Value, kind: &str) -> Value {
    let findings = verdict["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["kind"] == kind && finding["grade"] == "bad");
    found.unwrap_or_else(|| panic!("no finding says {kind}: {findings:#?}")).clone()
}
