//! Working copies: what is played is what the disclosed fragments make, to the byte, or the verdict says that it is not.

use std::cell::Cell;

use exhibit_evidence::bundle::{BundleSource, Disclosure, FileBeside, SourceError, disclosure_path};
use exhibit_evidence::verdict::{Axis, FindingKind, Grade, NOT_PROVEN};
use exhibit_evidence::verify::verify;
use exhibit_pki::signature::RustCrypto;
use exhibit_tlog::Hash;

use crate::media::mp4_box;
use crate::synthetic::{CAMERA_STREAM, Case, Files, WORKING_COPY, recorded};

/// A way in which an exporter makes a copy show something else, and names it in the manifest.
pub type Trick = (&'static str, fn(&mut Vec<u8>));

pub const TRICKS: &[Trick] = &[
    ("another scene", |copy| *copy = b"another scene".to_vec()),
    ("nothing", Vec::clear),
    ("a sample is another", |copy| *copy.last_mut().unwrap() ^= 1),
    ("the second fragment is left out", |copy| drop(copy.drain(chunks(copy)[1].clone()))),
    ("the last fragment is left out", |copy| copy.truncate(chunks(copy).last().unwrap().start)),
    ("a fragment stands twice", |copy| copy.extend_from_within(chunks(copy)[2].clone())),
    ("two fragments are swapped", |copy| {
        let (one, other) = (chunks(copy)[2].clone(), chunks(copy)[4].clone());
        let (samples, others) = (copy[one.clone()].to_vec(), copy[other.clone()].to_vec());
        copy.splice(other, samples);
        copy.splice(one, others);
    }),
    ("an edit list", |copy| into_track(copy, &mp4_box(b"edts", &mp4_box(b"elst", &[0; 20])))),
    ("the samples are in another file", |copy| into_track(copy, &mp4_box(b"dinf", &mp4_box(b"dref", &mp4_box(b"url ", b"evil.mp4"))))),
    ("a codec of another kind", |copy| into_track(copy, &mp4_box(b"stsd", &mp4_box(b"avc1", &[9; 78])))),
    ("a second track", |copy| into_movie(copy, &mp4_box(b"trak", &mp4_box(b"tkhd", &[0; 84])))),
    ("a second header", |copy| copy.extend(mp4_box(b"moov", &[]))),
    ("free space that is none", |copy| copy.extend(mp4_box(b"free", b"another scene"))),
    ("a fragment's number is another", |copy| {
        let at = find(copy, b"mfhd", 0) + 11;
        copy[at] ^= 1;
    }),
    ("a fragment's time is another", |copy| {
        let at = find(copy, b"tfdt", 0) + 14;
        copy[at] ^= 1;
    }),
];

/// Where a box's type stands, from the n-th on.
fn find(copy: &[u8], kind: &[u8; 4], number: usize) -> usize {
    copy.windows(4).enumerate().filter(|(_, found)| found == kind).nth(number).unwrap().0
}

/// Each `moof` with its `mdat`.
fn chunks(copy: &[u8]) -> Vec<std::ops::Range<usize>> {
    let begins: Vec<usize> = copy.windows(4).enumerate().filter(|(_, kind)| kind == b"moof").map(|(at, _)| at - 4).collect();
    let ends = begins.iter().skip(1).copied().chain([copy.len()]);
    begins.iter().copied().zip(ends).map(|(begin, end)| begin..end).collect()
}

/// Puts a box at the end of boxes that nest as named, and lengthens these.
fn insert(copy: &mut Vec<u8>, path: &[&[u8; 4]], inserted: &[u8]) {
    let at: Vec<usize> = path.iter().map(|kind| find(copy, kind, 0) - 4).collect();
    let length = |copy: &[u8], at: usize| u32::from_be_bytes(copy[at..at + 4].try_into().unwrap());
    let end = at.last().unwrap() + length(copy, *at.last().unwrap()) as usize;
    for at in at {
        let longer = length(copy, at) + u32::try_from(inserted.len()).unwrap();
        copy[at..at + 4].copy_from_slice(&longer.to_be_bytes());
    }
    copy.splice(end..end, inserted.iter().copied());
}

fn into_track(copy: &mut Vec<u8>, inserted: &[u8]) {
    insert(copy, &[b"moov", b"trak"], inserted);
}

fn into_movie(copy: &mut Vec<u8>, inserted: &[u8]) {
    insert(copy, &[b"moov"], inserted);
}

/// A bundle whose exporter made the copy so.
pub fn exported_with(trick: fn(&mut Vec<u8>)) -> Case {
    let mut case = Case::new();
    trick(case.file(WORKING_COPY));
    let copy = case.file(WORKING_COPY).clone();
    case.manifest.files = vec![recorded(WORKING_COPY, &copy)];
    case.export();
    case
}

#[test]
fn a_copy_that_the_disclosed_fragments_make_is_told_to_be_that() {
    let verdict = Case::new().judge().unwrap();
    let told: Vec<_> = verdict.findings.iter().filter(|finding| finding.kind == FindingKind::WorkingCopy).collect();
    assert_eq!(told.len(), 1, "{:#?}", verdict.findings);
    assert_eq!((told[0].axis, told[0].grade), (Axis::Payload, Grade::Good));
    assert_eq!(told[0].place.file.as_deref(), Some(WORKING_COPY));
    assert!(told[0].sentence.contains("from 2026-11-20T12:00:02.000Z"), "{}", told[0].sentence);
}

#[test]
fn a_copy_that_can_show_something_else_is_bad() {
    for (trick, how) in TRICKS {
        let case = exported_with(*how);
        assert_ne!(case.files.0[WORKING_COPY], Case::new().files.0[WORKING_COPY], "{trick}: nothing was done");
        assert_eq!(case.faults(), [FindingKind::WorkingCopy], "{trick}");
        assert_eq!(case.judge().unwrap().grade, Grade::Bad, "{trick}");
    }
}

/// Files in memory that are given one at a time, and how often the copy was hashed.
struct OneAtATime<'a>(&'a Files, Cell<usize>);

impl BundleSource for OneAtATime<'_> {
    fn read(&self, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, SourceError> {
        self.0.read(path, limit_bytes)
    }

    fn hash(&self, path: &str, limit_bytes: u64) -> Result<Option<(Hash, u64)>, SourceError> {
        self.1.set(self.1.get() + usize::from(path == WORKING_COPY));
        self.0.hash(path, limit_bytes)
    }

    fn list(&self, files_max: usize) -> Result<Vec<String>, SourceError> {
        self.0.list(files_max)
    }
}

/// The same, and files beside others too.
struct Beside<'a>(OneAtATime<'a>);

impl BundleSource for Beside<'_> {
    fn read(&self, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>, SourceError> {
        self.0.read(path, limit_bytes)
    }

    fn hash(&self, path: &str, limit_bytes: u64) -> Result<Option<(Hash, u64)>, SourceError> {
        self.0.hash(path, limit_bytes)
    }

    fn list(&self, files_max: usize) -> Result<Vec<String>, SourceError> {
        self.0.list(files_max)
    }

    fn beside(&self, path: &str) -> Result<Option<Box<dyn FileBeside + '_>>, SourceError> {
        self.0.0.beside(path)
    }
}

/// Somebody changed the copy, and not the exporter's manifest. The copy is compared in passing, or hashed: that changes nothing.
#[test]
fn a_copy_that_was_changed_since_is_found_however_it_is_read() {
    let none: Trick = ("nothing was done", |_| ());
    for (trick, how) in TRICKS.iter().chain([&none]) {
        let mut case = Case::new();
        how(case.file(WORKING_COPY));
        let (one, beside) = (OneAtATime(&case.files, Cell::new(0)), Beside(OneAtATime(&case.files, Cell::new(0))));
        let judged = |source: &dyn BundleSource| verify(source, &case.log.anchor(), &RustCrypto).unwrap();
        let (verdict, other) = (judged(&one), judged(&beside));
        assert_eq!(verdict.findings, other.findings, "{trick}");
        let altered = verdict.findings.iter().any(|finding| finding.kind == FindingKind::FileAltered && finding.grade == Grade::Bad);
        assert_eq!(altered, *trick != none.0, "{trick}");
        assert_eq!((one.1.get(), beside.0.1.get()), (1, usize::from(altered)), "{trick}: hashed again what had gone by");
    }
}

#[test]
fn a_copy_of_what_is_withheld_is_undecided() {
    let mut case = Case::new();
    let path = disclosure_path(CAMERA_STREAM, 2);
    let mut disclosure = Disclosure::parse(case.file(&path)).unwrap();
    disclosure.fragments.pop();
    *case.file(&path) = serde_json::to_vec(&disclosure).unwrap();
    assert_eq!(case.faults(), [FindingKind::WorkingCopy], "a copy passed that nothing here is compared with");
    assert_eq!(case.judge().unwrap().grade, Grade::Undecided);
}

#[test]
fn a_copy_of_segments_that_are_not_disclosed_is_bad() {
    let mut case = Case::new();
    case.manifest.segments.pop();
    case.export();
    assert_eq!(case.faults(), [FindingKind::WorkingCopy]);
}

#[test]
fn what_else_the_exporter_wrote_is_told_to_be_the_exporter_s() {
    let mut case = Case::new();
    for path in ["video.mp4", "Working/copy.mp4", "README.md"] {
        case.files.0.insert(path.to_owned(), b"another scene".to_vec());
        case.manifest.files.push(recorded(path, b"another scene"));
    }
    case.export();
    let verdict = case.judge().unwrap();
    let told = verdict.findings.iter().filter(|finding| finding.kind == FindingKind::ExporterFile);
    assert_eq!(told.filter_map(|finding| finding.place.file.as_deref()).collect::<Vec<_>>(), ["video.mp4", "Working/copy.mp4"]);
    assert_eq!(verdict.grade, Grade::NotDemanded);
    assert!(NOT_PROVEN.iter().any(|words| words.contains("README.md")), "of the README nothing is said anywhere");
}
