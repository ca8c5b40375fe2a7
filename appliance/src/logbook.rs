//! What the appliance logs about its own security, on the ledger: lines are kept in a file beside it until a batch of them is stated as `log/v1`.
//!
//! It decides neither what is logged nor how. A line that is in the file outlives the process; whoever is root on the machine can change it there
//! until its batch is stated, and not afterwards.

use std::fmt::{Debug, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use exhibit_evidence::log_lines::LINE_BYTES_MAX;
use exhibit_pki::Timestamp;
use exhibit_program::logging::is_of_security;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::appliance::Appliance;
use crate::setup::{Folder, now};

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was written.
    pub at: Timestamp,
    /// One JSON object.
    pub text: String,
}

/// The lines that are not on the ledger yet.
#[derive(Default)]
pub struct Logbook {
    waiting: Mutex<Waiting>,
    /// One file at a time is written anew.
    writing: Mutex<()>,
}

#[derive(Default)]
struct Waiting {
    /// None until the appliance has a folder.
    spool: Option<Spool>,
    lines: Vec<Numbered>,
    /// The number of the next line, over all batches of the log. None until the ledger has said where it ends: lines get theirs then.
    next: Option<u64>,
    bytes: usize,
    /// Lines that were not kept, and that no line tells of yet.
    lost: u64,
    /// When a line last told of some.
    told: Option<Instant>,
    /// The time of the last line that was kept.
    newest: Option<Timestamp>,
    pace: Pace,
    strangers: Pace,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Numbered {
    number: Option<u64>,
    line: Line,
}

struct Spool {
    path: PathBuf,
    /// None where it can not be written: lines are in memory then, and tried again with the next batch.
    file: Option<File>,
    /// A line may have been written in part: the next begins a line of its own.
    is_torn: bool,
}

/// Lines a second, over time: who is refused without end must not fill the disk. What is beyond is counted.
const LINES_PER_S_MAX: f64 = 50.0;
/// So much of it for lines about those who have shown no certificate.
const STRANGERS_SHARE: f64 = 0.2;
/// Two threads do not write lines further apart in another order than that of their times.
const EXCHANGED_MS_MAX: u64 = 1_000;
/// So many at once.
const LINES_AT_ONCE_MAX: f64 = 2_000.0;
/// So many are kept while none can be stated: a disk that is full, or a log that has ended.
const WAITING_LINES_MAX: usize = 65_536;
/// The same in bytes.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// Of one line that are kept of each of its values.
const VALUE_CHARS_MAX: usize = 1024;
/// A batch is a statement, and is read whole by whoever verifies it.
pub const BATCH_LINES_MAX: usize = 4_096;
/// The same in bytes: with salts it is below what a statement of the appliance's own may need.
pub const BATCH_BYTES_MAX: usize = 512 << 10;
/// Lines that are not kept are told of at once, and then so often while there are more.
const TOLD_EACH: Duration = Duration::from_secs(1);
/// Lines that tell of others find room when there is none for these: an hour of a flood.
const TELLING_LINES_MAX: usize = 3_600;
/// So often it is looked whether a batch is due.
const LOOK: Duration = Duration::from_secs(1);
/// In the state folder.
const FILE: &str = "log-lines";

/// A share of the lines that are kept.
#[derive(Default)]
struct Pace {
    used: f64,
    since: Option<Instant>,
}

impl Pace {
    fn takes(&mut self, now: Instant, share: f64) -> bool {
        let passed = self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        (self.used, self.since) = ((self.used - passed.as_secs_f64() * LINES_PER_S_MAX * share).max(0.0), Some(now));
        let takes = self.used + 1.0 <= LINES_AT_ONCE_MAX * share;
        self.used += if takes { 1.0 } else { 0.0 };
        takes
    }
}

impl Logbook {
    /// From now on lines are written to this folder's file as they come, behind those of an earlier process: what is said of a start that is refused outlives
    /// it. They have no numbers until `keep_in`. Where the file can not be written, they wait in memory.
    pub fn begin_in(&self, folder: &Folder) -> io::Result<()> {
        let mut waiting = self.lock();
        if waiting.spool.is_some() {
            return Ok(());
        }
        let path = folder.path().join(FILE);
        let before = read(&path);
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        let (file, failed) = file.map_or_else(|error| (None, Err(error)), |file| (Some(file), Ok(())));
        // The last may have no end.
        waiting.spool = Some(Spool { path, file, is_torn: true });
        let new = std::mem::take(&mut waiting.lines);
        let before = before.unwrap_or_default();
        waiting.bytes = before.iter().map(|numbered| numbered.line.text.len()).sum();
        waiting.lines = before;
        new.into_iter().for_each(|numbered| waiting.push(numbered.line));
        failed
    }

    /// From now on lines have numbers, and are kept in this folder, those of an earlier process before those that wait here. The ledger has those before
    /// `next`: what the file has of them is left out, and if it has less than the ledger, new lines go on where the ledger ends. What is left of the logs
    /// before, which have ended, goes on here. Where the file can not be written, they are kept in memory all the same.
    pub fn keep_in(&self, folder: &Folder, next: u64) -> io::Result<()> {
        // Where it can not be written, that is told below.
        let _ = self.begin_in(folder);
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let path = folder.path().join(FILE);
        let mut waiting = self.lock();
        let spool_path = waiting.spool.as_ref().map(|spool| spool.path.clone());
        let is_here = spool_path.as_ref() == Some(&path);
        if is_here && waiting.next.is_some() {
            return Ok(());
        }
        let mut lines = std::mem::take(&mut waiting.lines);
        let mut elsewhere: Vec<PathBuf> = Vec::new();
        if !is_here {
            // Their numbers were another log's.
            lines.iter_mut().for_each(|numbered| numbered.number = None);
            lines.splice(..0, read(&path).unwrap_or_default());
            elsewhere.extend(spool_path);
        }
        if let Some(before) = folder.predecessor().map(|before| before.path().join(FILE)).filter(|file| !elsewhere.contains(file)) {
            // Without rights there, or without a file, nothing is taken.
            if let Ok(left) = read(&before) {
                if !left.is_empty() {
                    lines.retain(|numbered| numbered.number.is_none_or(|number| number >= next));
                    lines.splice(..0, left);
                    lines.iter_mut().for_each(|numbered| numbered.number = None);
                }
                elsewhere.push(before);
            }
        }
        lines.retain(|numbered| numbered.number.is_none_or(|number| number >= next));
        let mut number = next;
        for numbered in &mut lines {
            // What is missing in between stays so, and shows.
            number = numbered.number.map_or(number, |own| own.max(number));
            numbered.number = Some(number);
            number += 1;
        }
        waiting.bytes = lines.iter().map(|numbered| numbered.line.text.len()).sum();
        (waiting.lines, waiting.next) = (lines, Some(number));
        let written = write_beside(&path, &text(&waiting.lines)).and_then(|file| put(&path, file));
        let kept = waiting.spool.take().filter(|_| is_here).and_then(|spool| spool.file);
        let (file, failed) = written.map_or_else(|error| (kept, Err(error)), |file| (Some(file), Ok(())));
        waiting.spool = Some(Spool { path, is_torn: failed.is_err(), file });
        if failed.is_ok() {
            // What lay in the folder of a log that has ended is here now. Where it can not be removed, it is here twice after the next start.
            elsewhere.iter().for_each(|file| drop(fs::remove_file(file)));
        }
        failed
    }

    /// Keeps a line. Those about strangers, who need no certificate to cause them, have a share of their own: no number of them keeps another out.
    pub fn add(&self, mut line: Line, is_of_stranger: bool) {
        let mut waiting = self.lock();
        // Of two threads the later may have looked at the clock first. Only a clock that was set back makes times fall.
        let newest = waiting.newest.filter(|newest| newest.unix_ms().saturating_sub(line.at.unix_ms()) < EXCHANGED_MS_MAX);
        line.at = newest.map_or(line.at, |newest| line.at.max(newest));
        let has_room = waiting.lines.len() < WAITING_LINES_MAX && waiting.bytes < WAITING_BYTES_MAX;
        let takes = match is_of_stranger {
            true => waiting.strangers.takes(Instant::now(), STRANGERS_SHARE),
            false => waiting.pace.takes(Instant::now(), 1.0),
        };
        if !takes || !has_room {
            waiting.lost += 1;
            waiting.tell(line.at, TOLD_EACH);
            return;
        }
        waiting.tell(line.at, Duration::ZERO);
        waiting.push(line);
    }

    /// What a batch would have: the number of its first line, and lines in order, whose numbers leave none out. `None` where nothing is due: there is less
    /// than a batch, and the oldest is younger than `age`.
    fn due(&self, now: Timestamp, age: Duration) -> Option<(u64, Vec<Line>)> {
        let mut waiting = self.lock();
        // The end of a flood, too, is told of.
        waiting.tell(now, TOLD_EACH);
        let oldest = waiting.lines.first()?;
        let first = oldest.number?;
        // A line of a time that is still to come was written by a clock that was set back since: it waits for no other.
        let since_ms = now.unix_ms().checked_sub(oldest.line.at.unix_ms()).unwrap_or(u64::MAX);
        let mut bytes = 0;
        let fits = |(number, numbered): &(u64, &Numbered)| {
            bytes += numbered.line.text.len();
            bytes <= BATCH_BYTES_MAX && numbered.number == Some(*number)
        };
        let batch: Vec<Line> =
            (first..).zip(&waiting.lines).take(BATCH_LINES_MAX).take_while(fits).map(|(_, numbered)| numbered.line.clone()).collect();
        let is_full = batch.len() < waiting.lines.len() || batch.len() == BATCH_LINES_MAX;
        (is_full || u128::from(since_ms) >= age.as_millis()).then_some((first, batch))
    }

    /// Lines before this number are on the ledger. Nobody waits for the disk meanwhile: lines that come are written behind.
    fn stated(&self, next: u64) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (path, kept, written_to) = {
            let mut waiting = self.lock();
            waiting.lines.retain(|numbered| numbered.number.is_none_or(|number| number >= next));
            waiting.next = waiting.next.map(|own| own.max(next));
            waiting.bytes = waiting.lines.iter().map(|numbered| numbered.line.text.len()).sum();
            let Some(path) = waiting.spool.as_ref().map(|spool| spool.path.clone()) else { return Ok(()) };
            (path, text(&waiting.lines), waiting.next)
        };
        let mut file = write_beside(&path, &kept)?;
        let mut waiting = self.lock();
        let came: Vec<_> = waiting.lines.iter().filter(|numbered| numbered.number >= written_to).cloned().collect();
        file.write_all(text(&came).as_bytes())?;
        waiting.spool = Some(Spool { file: Some(put(&path, file)?), path, is_torn: false });
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn push(&mut self, line: Line) {
        self.newest = Some(line.at);
        let numbered = Numbered { number: self.next, line };
        self.next = self.next.map(|next| next + 1);
        self.bytes += numbered.line.text.len();
        if let Some(spool) = &mut self.spool {
            spool.append(&numbered);
        }
        self.lines.push(numbered);
    }

    /// Tells how many lines were not kept, if it was not told within this time.
    fn tell(&mut self, at: Timestamp, each: Duration) {
        let is_early = self.told.is_some_and(|told| told.elapsed() < each);
        if self.lost == 0 || is_early || self.lines.len() >= WAITING_LINES_MAX + TELLING_LINES_MAX {
            return;
        }
        let lost = std::mem::take(&mut self.lost);
        self.told = Some(Instant::now());
        let told = json!({ "at": at.to_string(), "level": "WARN", "message": "lines were not kept: there were too many", "lines": lost });
        self.push(Line { at, text: told.to_string() });
    }
}

impl Spool {
    /// On a full disk a line is in memory still, and in the file with the next batch.
    fn append(&mut self, numbered: &Numbered) {
        let Some(file) = &mut self.file else { return };
        let begins = if self.is_torn { "\n" } else { "" };
        self.is_torn = file.write_all(format!("{begins}{}", written(numbered)).as_bytes()).is_err();
    }
}

/// Beside, then under its name: a power cut leaves the old lines or the new.
fn write_beside(path: &Path, text: &str) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path.with_extension("new"))?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    Ok(file)
}

fn put(path: &Path, file: File) -> io::Result<File> {
    fs::rename(path.with_extension("new"), path).map(|()| file)
}

fn text(lines: &[Numbered]) -> String {
    lines.iter().map(written).collect()
}

fn written(Numbered { number, line }: &Numbered) -> String {
    let number = number.map_or("-".to_owned(), |number| number.to_string());
    format!("{number} {} {}\n", line.at.unix_ms(), line.text)
}

/// What a process has left. A line that it did not end is kept as far as it goes; one that has not got to its text says nothing.
fn read(path: &Path) -> io::Result<Vec<Numbered>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        bytes => bytes?,
    };
    let line = |line: &str| {
        let mut parts = line.splitn(3, ' ');
        let (number, at, text) = (parts.next()?, parts.next()?, parts.next()?);
        let number = if number == "-" { None } else { Some(number.parse().ok()?) };
        let line = Line { at: Timestamp::from_unix_ms(at.parse().ok()?)?, text: cut(text, LINE_BYTES_MAX).to_owned() };
        Some(Numbered { number, line })
    };
    Ok(String::from_utf8_lossy(&bytes).lines().filter_map(line).collect())
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max.min(text.len()))]
}

/// The field of an event that is about somebody who has shown no certificate.
const STRANGER: &str = "stranger";

/// Gives a logbook the events that matter for security.
pub struct Kept(pub Arc<Logbook>);

impl<S: Subscriber> Layer<S> for Kept {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if !is_of_security(metadata) {
            return;
        }
        let at = now();
        let mut values = Values(Map::new());
        values.0.insert("at".into(), at.to_string().into());
        values.0.insert("level".into(), metadata.level().as_str().into());
        values.0.insert("target".into(), metadata.target().into());
        event.record(&mut values);
        // Who has shown no certificate, whatever came of it.
        let is_of_stranger = values.0.get(STRANGER) == Some(&Value::Bool(true));
        let text = Value::Object(values.0).to_string();
        self.0.add(Line { at, text: cut(&text, LINE_BYTES_MAX).to_owned() }, is_of_stranger);
    }
}

/// The values of an event. JSON writes what would end a line in another way.
struct Values(Map<String, Value>);

impl Values {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Values {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value.chars().take(VALUE_CHARS_MAX).collect::<String>());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // A string takes all that is written.
        let _ = write!(text, "{value:?}");
        // What is shown in quotes for the other log needs none here.
        self.record_str(field, &serde_json::from_str::<String>(&text).unwrap_or(text));
    }
}

/// States batches, until the appliance ends: then what is left.
pub async fn state_batches(appliance: Arc<Appliance>, logbook: Arc<Logbook>, age: Duration, mut drain: watch::Receiver<bool>) {
    loop {
        let ends = timeout(LOOK, drain.wait_for(|drain| *drain)).await.is_ok();
        let (appliance, logbook) = (appliance.clone(), logbook.clone());
        let age = if ends { Duration::ZERO } else { age };
        // It ends with whoever asked for it, or with the process.
        let _ = spawn_blocking(move || state_due(&appliance, &logbook, age)).await;
        if ends {
            return;
        }
    }
}

/// States what is due. Blocks.
pub fn state_due(appliance: &Appliance, logbook: &Logbook, age: Duration) {
    while let Some((first, lines)) = logbook.due(appliance.now(), age) {
        let stated = appliance.chronicle.log_lines(first, &lines);
        let kept = match stated {
            Ok(next) => logbook.stated(next),
            Err(error) => {
                appliance.heed_chronicle(&error);
                // Not a line of the logbook: while none can be stated, it would only fill it.
                tracing::info!(%error, "log lines could not be put on the ledger: they wait");
                return;
            }
        };
        if let Err(error) = kept {
            tracing::info!(%error, "the file of log lines could not be written: lines that are on the ledger may be stated again");
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn line(at_ms: u64, text: &str) -> Line {
        Line { at: Timestamp::from_unix_ms(at_ms).unwrap(), text: text.to_owned() }
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(ms).unwrap()
    }

    #[test]
    fn lines_outlive_the_process_and_are_stated_once() {
        let folder = tempfile::tempdir().unwrap();
        let state = Folder::new(folder.path());
        let before = Logbook::default();
        before.add(line(1000, "before there was a folder"), false);
        before.keep_in(&state, 0).unwrap();
        before.add(line(2000, "second"), false);
        drop(before);

        let after = Logbook::default();
        after.add(line(3000, "third"), false);
        after.keep_in(&state, 0).unwrap();
        let (first, lines) = after.due(at(61_000), Duration::from_secs(60)).unwrap();
        assert_eq!((first, lines.len()), (0, 3));
        assert_eq!(lines[1], line(2000, "second"));
        after.stated(2).unwrap();
        drop(after);

        let last = Logbook::default();
        last.keep_in(&state, 2).unwrap();
        assert_eq!(last.due(at(61_000), Duration::ZERO).unwrap(), (2, vec![line(3000, "third")]), "stated twice, or lost");
    }

    #[test]
    fn a_line_that_was_cut_off_is_kept_as_far_as_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "7 1000 whole\n8 2000 {\"message\":\"cut").unwrap();
        let logbook = Logbook::default();
        logbook.keep_in(&Folder::new(folder.path()), 7).unwrap();
        logbook.add(line(3000, "after"), false);
        let (first, lines) = logbook.due(at(3000), Duration::ZERO).unwrap();
        assert_eq!((first, lines), (7, vec![line(1000, "whole"), line(2000, "{\"message\":\"cut"), line(3000, "after")]));
    }

    #[test]
    fn what_the_ledger_has_is_left_out_and_its_numbers_are_not_taken_again() {
        for (file, next, first, kept) in [
            ("3 1000 a\n4 1000 b\n5 1000 c\n", 5, 5, vec!["c"]),
            ("3 1000 a\n4 1000 b\n", 3, 3, vec!["a", "b"]),
            // It was there before the ledger was put back to an older copy.
            ("8 1000 a\n", 5, 8, vec!["a"]),
            ("0 1000 a\n", 5, 5, vec![]),
            // One is missing that was written to the ledger from memory.
            ("3 1000 a\n5 1000 b\n", 5, 5, vec!["b"]),
            // Of a start that was refused.
            ("- 1000 a\n- 1000 b\n", 5, 5, vec!["a", "b"]),
            ("4 1000 a\n- 1000 b\n", 5, 5, vec!["b"]),
            // Cut in its time: it says nothing.
            ("5 1000 a\n6 10", 5, 5, vec!["a"]),
            ("no number\n1000 a\n", 5, 5, vec![]),
            ("", 5, 5, vec![]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            if !file.is_empty() {
                fs::write(folder.path().join(FILE), file).unwrap();
            }
            let logbook = Logbook::default();
            logbook.keep_in(&Folder::new(folder.path()), next).unwrap();
            logbook.add(line(1000, "new"), false);
            let expected: Vec<Line> = kept.into_iter().chain(["new"]).map(|text| line(1000, text)).collect();
            assert_eq!(logbook.due(at(1000), Duration::ZERO).unwrap(), (first, expected), "{file:?}");
        }
    }

    #[test]
    fn lines_go_on_with_the_log_that_goes_on() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let logbook = Logbook::default();
        logbook.keep_in(&Folder::new(old.path()), 0).unwrap();
        logbook.add(line(1000, "a"), false);
        logbook.stated(1).unwrap();
        logbook.add(line(2000, "after the end"), false);
        logbook.keep_in(&Folder::new(new.path()), 0).unwrap();
        assert_eq!(logbook.due(at(2000), Duration::ZERO).unwrap(), (0, vec![line(2000, "after the end")]));
        assert!(!old.path().join(FILE).exists(), "it would be stated again");
    }

    #[test]
    fn what_a_refused_start_says_is_stated_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let state = Folder::new(folder.path());
        fs::write(folder.path().join(FILE), "5 1000 before\n6 10").unwrap();
        for said in ["refused", "refused again"] {
            let logbook = Logbook::default();
            logbook.add(line(2000, said), false);
            logbook.begin_in(&state).unwrap();
            logbook.add(line(2000, "and why"), false);
            assert_eq!(
                logbook.due(at(9_000_000), Duration::ZERO).map(|(_, lines)| lines.len()),
                Some(1),
                "a line without a number is stated"
            );
        }
        let logbook = Logbook::default();
        logbook.begin_in(&state).unwrap();
        logbook.keep_in(&state, 6).unwrap();
        let (first, lines) = logbook.due(at(2000), Duration::ZERO).unwrap();
        let texts: Vec<_> = lines.iter().map(|line| &*line.text).collect();
        assert_eq!((first, texts), (6, vec!["refused", "and why", "refused again", "and why"]));
    }

    #[test]
    fn what_no_file_keeps_is_kept_in_memory_and_in_the_file_with_the_next_batch() {
        let folder = tempfile::tempdir().unwrap();
        let state = Folder::new(folder.path());
        let logbook = Logbook::default();
        // A folder that stands where the file would be written: no new file can be made.
        fs::create_dir(folder.path().join("log-lines.new")).unwrap();
        assert!(logbook.keep_in(&state, 3).is_err());
        logbook.add(line(1000, "a"), false);
        logbook.add(line(1000, "b"), false);
        assert_eq!(logbook.due(at(1000), Duration::ZERO).unwrap().0, 3);
        fs::remove_dir(folder.path().join("log-lines.new")).unwrap();
        logbook.stated(4).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join(FILE)).unwrap(), "4 1000 b\n");
    }

    #[test]
    fn a_line_that_was_written_in_part_takes_no_other_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = Folder::new(folder.path());
        let logbook = Logbook::default();
        logbook.keep_in(&state, 0).unwrap();
        logbook.add(line(1000, "a"), false);
        {
            let mut waiting = logbook.lock();
            let spool = waiting.spool.as_mut().unwrap();
            spool.file.as_mut().unwrap().write_all(b"1 1000 cu").unwrap();
            spool.is_torn = true;
        }
        logbook.add(line(1000, "b"), false);
        assert_eq!(fs::read_to_string(folder.path().join(FILE)).unwrap(), "0 1000 a\n1 1000 cu\n1 1000 b\n");
    }

    #[test]
    fn numbers_that_are_missing_stay_so() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "3 1000 a\n5 1000 b\n").unwrap();
        let logbook = Logbook::default();
        logbook.keep_in(&Folder::new(folder.path()), 3).unwrap();
        assert_eq!(logbook.due(at(1000), Duration::ZERO).unwrap(), (3, vec![line(1000, "a")]), "a batch that hides a gap");
        logbook.stated(4).unwrap();
        assert_eq!(logbook.due(at(1000), Duration::ZERO).unwrap(), (5, vec![line(1000, "b")]));
    }

    #[test]
    fn nobody_waits_for_the_disk_while_the_file_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let state = Folder::new(folder.path());
        let logbook = Logbook::default();
        logbook.keep_in(&state, 0).unwrap();
        logbook.add(line(1000, "a"), false);
        logbook.add(line(1000, "b"), false);
        // A pipe with a name where the new file goes: who opens it waits until somebody reads, as for a disk that hangs.
        let beside = folder.path().join("log-lines.new");
        assert!(std::process::Command::new("mkfifo").arg(&beside).status().unwrap().success());
        std::thread::scope(|scope| {
            let stated = scope.spawn(|| logbook.stated(1));
            // It is at the disk once it has left out what is stated.
            while logbook.lock().lines.len() == 2 {
                std::thread::yield_now();
            }
            logbook.add(line(2000, "c"), false);
            let read = fs::read_to_string(&beside).unwrap();
            assert_eq!(read, "1 1000 b\n");
            // A pipe can not be synced.
            assert!(stated.join().unwrap().is_err());
        });
        assert_eq!(logbook.lock().lines.iter().filter_map(|numbered| numbered.number).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_batch_is_due_when_it_is_old_or_full_and_no_larger_than_it_may_be() {
        let (folder, logbook) = (tempfile::tempdir().unwrap(), Logbook::default());
        logbook.keep_in(&Folder::new(folder.path()), 0).unwrap();
        logbook.add(line(1000, "a"), false);
        assert_eq!(logbook.due(at(1999), Duration::from_secs(1)), None, "each line is a statement");
        assert!(logbook.due(at(2000), Duration::from_secs(1)).is_some());
        for _ in 0..40 {
            logbook.add(line(1000, &"x".repeat(LINE_BYTES_MAX)), false);
        }
        let (_, lines) = logbook.due(at(1000), Duration::from_secs(1)).expect("it is full");
        assert!(lines.iter().map(|line| line.text.len()).sum::<usize>() <= BATCH_BYTES_MAX);
    }

    #[test]
    fn a_flood_is_cut_and_counted() {
        let logbook = Logbook::default();
        for _ in 0..10_000 {
            logbook.add(line(1000, "again"), false);
        }
        let told = |lines: &[Numbered]| -> Vec<u64> {
            lines.iter().filter_map(|numbered| serde_json::from_str::<Value>(&numbered.line.text).ok()?["lines"].as_u64()).collect()
        };
        let lines = logbook.lock().lines.clone();
        let (kept, at_once) = (lines.len(), told(&lines));
        assert!((2_000..3_000).contains(&kept), "{kept} lines of a flood are kept");
        assert_eq!(at_once[0], 1, "a process that is killed in a flood tells of none");
        logbook.lock().pace = Pace::default();
        logbook.add(line(2000, "later"), false);
        let waiting = logbook.lock();
        assert_eq!(waiting.lines.last().unwrap().line, line(2000, "later"));
        let told = told(&waiting.lines);
        let kept = waiting.lines.len() - told.len() - 1;
        assert_eq!(told.iter().sum::<u64>(), 10_000 - kept as u64, "what was not kept is not told");
    }

    #[test]
    fn strangers_keep_nobody_elses_lines_out() {
        let logbook = Logbook::default();
        for _ in 0..10_000 {
            logbook.add(line(1000, "a handshake was refused"), true);
        }
        let strangers = logbook.lock().lines.len();
        assert!((400..600).contains(&strangers), "{strangers} lines of strangers");
        logbook.add(line(1000, "banned"), false);
        assert_eq!(logbook.lock().lines.last().unwrap().line, line(1000, "banned"));
    }

    #[test]
    fn times_fall_only_with_the_clock() {
        let logbook = Logbook::default();
        for (at_ms, kept_ms) in [(5_000, 5_000), (4_999, 5_000), (5_001, 5_001), (4_100, 5_001), (1_000, 1_000)] {
            logbook.add(line(at_ms, "a"), false);
            assert_eq!(logbook.lock().lines.last().unwrap().line, line(kept_ms, "a"), "{at_ms}");
        }
        logbook.keep_in(&Folder::new(tempfile::tempdir().unwrap().path()), 0).unwrap();
        // The clock was set back: what was written before does not wait until it is that time again.
        assert!(logbook.due(at(1_000), Duration::from_secs(60)).is_some());
    }

    #[test]
    fn what_a_log_that_ended_has_left_is_stated_in_the_next() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(old.path().join(FILE), "9 1000 at the end\n").unwrap();
        std::os::unix::fs::symlink(old.path(), new.path().join("predecessor")).unwrap();
        let logbook = Logbook::default();
        logbook.keep_in(&Folder::new(new.path()), 0).unwrap();
        logbook.add(line(2000, "new"), false);
        assert_eq!(logbook.due(at(2000), Duration::ZERO).unwrap(), (0, vec![line(1000, "at the end"), line(2000, "new")]));
        assert!(!old.path().join(FILE).exists(), "it would be stated again");
    }

    #[test]
    fn an_event_is_a_line_of_json_that_ends_where_it_ends() {
        use tracing_subscriber::layer::SubscriberExt;
        let logbook = Arc::new(Logbook::default());
        let subscriber = tracing_subscriber::registry().with(Kept(logbook.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("no matter of security");
            tracing::info!(target: exhibit_program::logging::SECURITY, detail = "a\nb", quoted = ?"c\"d", count = 3_u64, folder = "x".repeat(5000), "refused");
            tracing::warn!(target: "hyper", "of another's making");
            tracing::warn!("ours");
            // A warning about a stranger is of their share too.
            (0..10_000).for_each(|_| tracing::warn!(stranger = true, "banned"));
            (0..100).for_each(|_| tracing::warn!(stranger = false, "banned"));
        });
        let waiting = logbook.lock();
        let of = |what: &str| waiting.lines.iter().filter(|numbered| numbered.line.text.contains(what)).count();
        assert!((300..600).contains(&of("\"stranger\":true")) && of("\"stranger\":false") == 100, "strangers keep others' lines out");
        assert_eq!(of("\"ours\"") + of("of another's making"), 1);
        let first = &waiting.lines[0].line.text;
        assert!(!first.contains('\n'));
        let event: Value = serde_json::from_str(first).unwrap();
        assert_eq!(event["quoted"], "c\"d");
        assert_eq!((&event["detail"], &event["count"], &event["message"]), (&json!("a\nb"), &json!(3), &json!("refused")));
        assert_eq!(event["folder"].as_str().unwrap().len(), VALUE_CHARS_MAX);
    }
}
