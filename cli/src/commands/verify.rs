//! `exhibit verify`: judges a bundle, offline, by an anchor that did not come with it.

use std::path::{Path, PathBuf};

use clap::Args;
use exhibit_evidence::verdict::{Axis, Grade, Place, SegmentTime, TimeBound, Verdict};
use exhibit_evidence::verify::verify;
use exhibit_pki::Verifier;
use exhibit_pki::signature::{AwsLc, RustCrypto};

use crate::bundle_folder::BundleFolder;
use crate::failure::Failure;
use crate::screen::{print_json_result, say_result};
use crate::session::read_anchor;

/// What can be asked.
#[derive(Args)]
pub struct Command {
    /// The bundle's folder.
    bundle: PathBuf,
    /// The log's anchor file, got from the operator or from somebody trusted; never the one out of the bundle.
    #[arg(long, env = "EXHIBIT_ANCHOR")]
    anchor: Option<PathBuf>,
    /// Verify signatures by the implementation in pure Rust, which is that of the verifier for WebAssembly, and not by aws-lc-rs: a second
    /// opinion.
    #[arg(long)]
    pure_rust: bool,
}

/// How to read a verdict, and how to demand more of one.
pub const HELP: &str = "\
The anchor says whose log it is. The verdict is by axis, and its headline is the worst of them: signature, continuity and payload always count; witness,
time, revocation and device only if the anchor demands them, and are told otherwise. Nothing is trusted that came with the bundle.

To demand more, add to a copy of the anchor, which is JSON, what you believe (each member may be left out):

  \"witness_policy\":        a C2SP tlog-policy without log lines: witness <name> <key>, then quorum <name>
  \"timestamp_authorities\": [{\"name\": \"Notary\", \"independent\": true, \"certificate\": <PEM>}]
  \"custodians\":            [<PEM>], and \"threshold\": how many of them decide who can open the evidence
  \"device\":                \"software\", \"allow-listed\" or \"attested\", the least that a camera's TPM may be
  \"endorsement_roots\":     [<PEM>], the roots of TPM vendors, for \"attested\"
  \"demands\":               any of [\"witness\", \"time\", \"revocation\", \"device\"]

What is demanded and not shown is UNDECIDED. docs/formats/bundle.md has every rule, and a script that writes such an anchor.

Exit codes: 0 it holds, as far as the anchor demands; 1 it does not; 2 it could not be judged, or is undecided; 64 wrong use.";

/// Runs it.
pub fn run(command: &Command, json: bool) -> Result<u8, Failure> {
    let Some(anchor_path) = &command.anchor else {
        return Err(Failure::Cannot(
            "without --anchor nothing can be judged: ask the operator of the log, or anybody you trust, for its anchor file".to_owned(),
        ));
    };
    let verifier: &dyn Verifier = if command.pure_rust { &RustCrypto } else { &AwsLc };
    let verdict = judge(&command.bundle, anchor_path, verifier)?;
    if json {
        print_json_result(verdict.to_json())?;
    } else {
        say_result(&table(&verdict, &command.bundle.display().to_string()))?;
    }
    Ok(verdict.grade.exit_code())
}

/// Judges the bundle in a folder.
pub fn judge(bundle: &Path, anchor_path: &Path, verifier: &dyn Verifier) -> Result<Verdict, Failure> {
    let anchor = read_anchor(anchor_path)?;
    let folder = BundleFolder::open(bundle)?;
    let beside = anchor_path.canonicalize().is_ok_and(|path| bundle.canonicalize().is_ok_and(|bundle| path.starts_with(bundle)));
    if beside {
        return Err(Failure::Cannot(
            "the anchor lies inside the bundle: an anchor out of the bundle that is judged proves nothing".to_owned(),
        ));
    }
    verify(&folder, &anchor, verifier).map_err(|error| Failure::Cannot(error.to_string()))
}

/// A table of findings for people, in lines.
pub fn table(verdict: &Verdict, name: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |words: String| lines.push(words);
    line(format!("{}  {name}", headline(verdict.grade)));
    line(String::new());
    for (axis, grade) in &verdict.axes {
        line(format!("  {axis:<11} {grade:<13} {}", summary(verdict, *axis)));
    }
    let told: Vec<_> =
        verdict.findings.iter().filter(|finding| finding.grade > Grade::NotDemanded || finding.place != Place::default()).collect();
    if !told.is_empty() {
        line(String::new());
        line("Findings, worst first:".to_owned());
        for finding in told {
            line(format!("  {:<13} {}", finding.grade.to_string(), finding.sentence));
            place(&finding.place).into_iter().for_each(&mut line);
        }
    }
    if !verdict.times.is_empty() {
        line(String::new());
        line("When each segment was sealed: by the camera's clock (a claim), and no earlier and no later than others say:".to_owned());
        verdict.times.iter().for_each(|time| line(format!("  {} {:>6}  {}  {}", time.stream, time.seq, time.claimed_sealed, bounds(time))));
    }
    line(String::new());
    let counts = &verdict.counts;
    line(format!(
        "Judged {} entries, {} segments, {} disclosed fragments ({} bytes).",
        counts.entries, counts.segments, counts.fragments, counts.bytes
    ));
    let basis = &verdict.basis;
    line(format!("By the anchor of {} (log {}), which did not come with the bundle,", basis.origin, basis.log));
    line(format!(
        "under its checkpoint of {} entries, root {}. Signatures: {}.",
        basis.checkpoint_size,
        basis.checkpoint_root,
        basis.suites.join(", ")
    ));
    line(verdict.trust.to_owned());
    if basis.policy.custodians.is_empty() {
        line("The anchor pins no custodians: who decided on the camera's recipients is not judged.".to_owned());
    }
    line(format!("Not proven by this or any such verdict: {}.", verdict.not_proven.join("; ")));
    lines
}

/// The bounds of one segment, each with whose word it is.
fn bounds(time: &SegmentTime) -> String {
    let told = |bounds: &[TimeBound]| -> String {
        let told: Vec<String> = bounds
            .iter()
            .map(|bound| {
                let whose = if bound.independent { "" } else { ", the operator's own" };
                let carried = if bound.tpm { ", by the count of the camera's TPM" } else { "" };
                format!("{} ({}{whose}{carried})", bound.time, bound.by)
            })
            .collect();
        if told.is_empty() { "nobody says".to_owned() } else { told.join(" or ") }
    };
    format!("not before: {}; not after: {}", told(&time.not_before), told(&time.not_after))
}

fn headline(grade: Grade) -> &'static str {
    match grade {
        Grade::Good => "VERIFIED",
        Grade::NotDemanded => "VERIFIED, as far as the anchor demands",
        Grade::Undecided => "UNDECIDED",
        Grade::Bad => "NOT AUTHENTIC",
    }
}

/// The axis in a sentence: its only finding, or how many of the worst there are.
fn summary(verdict: &Verdict, axis: Axis) -> String {
    let mut findings = verdict.on(axis);
    let first = findings.next().expect("every axis has a finding");
    match findings.filter(|finding| finding.grade == first.grade).count() {
        0 => first.sentence.clone(),
        more => format!("{} (and {more} more)", first.sentence),
    }
}

fn place(place: &Place) -> Option<String> {
    let mut words = Vec::new();
    if let Some(stream) = &place.stream {
        words.push(stream.clone());
    }
    if let Some(seq) = place.seq {
        words.push(format!("segment {seq}"));
    }
    if let Some(fragment) = place.fragment {
        words.push(format!("fragment {fragment}"));
    }
    if let Some(time) = &place.time {
        words.push(format!("at {time}"));
    }
    if let Some(index) = place.index {
        words.push(format!("entry {index}"));
    }
    if let Some(file) = &place.file {
        words.push(format!("file {file}"));
    }
    (!words.is_empty()).then(|| format!("                [{}]", words.join(", ")))
}
