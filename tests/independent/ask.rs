//! Asks the verifier in Python, which was written from docs/formats alone, what it thinks of test vectors. Tests include this file by its path.
//!
//! It does not know what is in a vector.

use std::cell::RefCell;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Debian's own, which finds Debian's `cryptography`.
const PYTHON: &str = "/usr/bin/python3";

/// What kind of thing is to be judged (see `judge.py`), with what, and what ours said of it.
pub type Question = (&'static str, Vec<Vec<u8>>, Answer);

/// As many as a verdict has: what a stranger has said is told, and neither believed nor held against anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Accepted,
    Told,
    Refused,
}

impl Answer {
    /// What is accepted, or else refused.
    #[allow(dead_code, reason = "as above")]
    pub fn of(is_accepted: bool) -> Self {
        if is_accepted { Self::Accepted } else { Self::Refused }
    }

    /// None where the verifier in Python died of it.
    fn read(line: &str) -> Option<Self> {
        match line {
            "accepted" => Some(Self::Accepted),
            "told" => Some(Self::Told),
            other => other.starts_with("refused: ").then_some(Self::Refused),
        }
    }
}

thread_local! {
    /// What this thread has judged since it was asked last.
    static JUDGED: RefCell<Vec<Question>> = const { RefCell::new(Vec::new()) };
}

/// Remembers a vector and what ours said of it, for `assert_agrees_on`.
#[allow(dead_code, reason = "each test includes this file for itself, and not all let their cases be remembered")]
pub fn judged<T, E>(kind: &'static str, with: &[&[u8]], ours: Result<T, E>) -> Result<T, E> {
    remember(kind, with, Answer::of(ours.is_ok()));
    ours
}

/// The same of what has three answers.
#[allow(dead_code, reason = "as above")]
pub fn remember(kind: &'static str, with: &[&[u8]], ours: Answer) {
    JUDGED.with_borrow_mut(|all| all.push((kind, with.iter().map(|bytes| bytes.to_vec()).collect(), ours)));
}

/// Runs tests, and has everything judged again that they let be remembered: at least so many vectors, good and bad.
#[allow(dead_code, reason = "as above")]
pub fn assert_agrees_on(tests: &[fn()], vectors_min: usize) {
    // Else all those tests would run once more for nothing.
    if cfg!(target_family = "wasm") {
        panic!("a process is an operation not supported on this platform");
    }
    JUDGED.take();
    tests.iter().for_each(|test| test());
    let judged = JUDGED.take();
    assert!(judged.len() >= vectors_min, "only {} vectors: some are missing", judged.len());
    for answer in [Answer::Accepted, Answer::Refused] {
        assert!(judged.iter().filter(|(_, _, found)| *found == answer).count() > 2, "good and bad belong among what is compared");
    }
    assert_agrees(&judged);
}

/// Has all judged by one process, and compares. Without Debian's `cryptography` it says so and judges nothing, unless `make test` runs.
pub fn assert_agrees(questions: &[Question]) {
    let asked = Command::new(PYTHON).args(["-c", "import cryptography"]).stderr(Stdio::null()).status();
    if !asked.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("EXHIBIT_TEST_ALL").is_none(), "Debian's python3-cryptography is missing: run make packages");
        // Past the test harness, which would keep it for itself.
        let message = b"SKIPPED: the independent verifier needs Debian's python3-cryptography; run make packages\n";
        std::io::stderr().write_all(message).unwrap();
        return;
    }
    let answers = answers(questions);
    let mut disagreements = 0;
    for (number, ((kind, with, ours), answer)) in questions.iter().zip(&answers).enumerate() {
        if Some(*ours) != Answer::read(answer) {
            disagreements += 1;
            let shown: Vec<_> = with.iter().map(|bytes| shown(&bytes[..bytes.len().min(2000)])).collect();
            eprintln!("{kind} {number}: ours {ours:?}, theirs: {answer}\n  {}", shown.join("\n  "));
        }
    }
    assert_eq!(disagreements, 0, "the two verifiers disagree on {disagreements} of {} vectors", questions.len());
}

/// Text, or else hex.
fn shown(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.chars().any(|character| character.is_control() && character != '\n'));
    text.map_or_else(|| hex(bytes), str::to_owned)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One line for each question: the kind and the bytes in hex, between tabs. One line for each answer: `accepted`, `told`, or why not.
fn answers(questions: &[Question]) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("tests/independent/judge.py"))
        .find(|script| script.exists())
        .expect("the verifier in Python stands in tests/independent");
    let mut asked = String::new();
    for (kind, with, _) in questions {
        asked.push_str(kind);
        for bytes in with {
            asked.push('\t');
            asked.push_str(&hex(bytes));
        }
        asked.push('\n');
    }
    let mut python = Command::new(PYTHON).arg("-B").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = python.stdin.take().unwrap();
    // A thread writes while the answers are read: neither pipe can fill up.
    let writer = std::thread::spawn(move || stdin.write_all(asked.as_bytes()));
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "the independent verifier failed");
    let answers: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), questions.len(), "the independent verifier did not judge every vector");
    answers
}
