//! What lies in a bundle's folder and is no file that a manifest can name: links, folders, names that are no text. None stands for a file that
//! is judged.

use exhibit_evidence::bundle::{CHECKPOINT, MANIFEST};
use exhibit_evidence::verdict::FindingKind::{self, FileMissing, FileUnlisted};
use exhibit_evidence::verdict::{Axis, Grade};
use exhibit_evidence::verify::verify;
use exhibit_pki::signature::RustCrypto;

use crate::authorities::{believing_time, notary, note_text};
use crate::synthetic::{Case, Oddity, STARTED_MS, WORKING_COPY, recorded};

/// Tests whose bundles other verifiers judge too.
pub const TESTS: &[fn()] = &[
    what_is_no_plain_file_is_not_there,
    a_copy_whose_name_is_no_text_does_not_pass_for_one_that_looks_alike,
    what_lies_among_the_copies_is_bad_whatever_it_is,
    a_byte_order_mark_is_part_of_a_name,
];

/// The bundle with its playable copy under another name.
fn copied_to(path: &str) -> Case {
    let mut case = Case::new();
    let copy = case.files.0.remove(WORKING_COPY).unwrap();
    case.manifest.files = vec![recorded(path, &copy)];
    case.files.0.insert(path.to_owned(), copy);
    case.export();
    case
}

/// A player shows both names alike, and of both the list would have the same text, were it only made readable.
#[test]
fn a_copy_whose_name_is_no_text_does_not_pass_for_one_that_looks_alike() {
    let named = "working/copy\u{fffd}.mp4";
    assert_eq!(copied_to(named).faults(), []);
    for name in [&b"working/copy\xff.mp4"[..], b"working/copy\xed\xa0\x80.mp4", b"working/\x80/copy.mp4", b"working/copy\xef\xbf"] {
        let mut case = copied_to(named);
        case.files.1.push(Oddity::Name(name));
        assert_eq!(case.faults(), [FileUnlisted], "{}", name.escape_ascii());
    }
}

/// No folder does so; a host whose names are not the bytes of the files might.
#[test]
fn a_name_that_is_listed_twice_stands_for_a_file_that_nobody_compared() {
    let mut case = Case::new();
    case.files.1.push(Oddity::Again(WORKING_COPY));
    let verdict = verify(&case.files, &case.log.anchor(), &RustCrypto).unwrap();
    let unlisted: Vec<_> = verdict.findings.iter().filter(|finding| finding.kind == FileUnlisted).collect();
    assert_eq!(unlisted.len(), 1, "{:#?}", verdict.findings);
    assert_eq!((unlisted[0].grade, unlisted[0].place.file.as_deref()), (Grade::Bad, Some(WORKING_COPY)));
}

#[test]
fn what_lies_among_the_copies_is_bad_whatever_it_is() {
    let cases: &[(Oddity, &[FindingKind])] = &[
        (Oddity::Link("working/more.mp4", "copy.mp4"), &[FileUnlisted]),
        (Oddity::Link("working/nothing.mp4", "nothing"), &[FileUnlisted]),
        (Oddity::Link("working/more/", "../disclosed"), &[FileUnlisted]),
        (Oddity::Folder("working/empty"), &[]),
        (Oddity::Folder("working/2/3/4/5/6/7"), &[]),
        // No path of a manifest leads into it, so that what lies there can not be the exporter's.
        (Oddity::Folder("working/2/3/4/5/6/7/8/"), &[FileUnlisted]),
        (Oddity::Link("elsewhere/", "working"), &[]),
        (Oddity::Name(b"elsewhere\xff"), &[]),
    ];
    for (oddity, expected) in cases {
        let mut case = Case::new();
        case.files.1.push(oddity.clone());
        assert_eq!(case.faults(), *expected, "{oddity:?}");
    }
    // Who opens the folder sees what lies elsewhere.
    let mut case = copied_to("movies/copy.mp4");
    case.files.1.push(Oddity::Link("working/", "movies"));
    assert_eq!(case.faults(), [FileUnlisted], "a link in the place of the copies");
    let mut case = copied_to("movies/copy.mp4");
    case.files.1.push(Oddity::Link("working", "nothing"));
    assert_eq!(case.faults(), [], "a link that leads nowhere shows no copies");
}

/// What has to be there is missing; what need not be there says nothing, and nothing against the bundle either.
#[test]
fn what_is_no_plain_file_is_not_there() {
    type Replacement = fn(&'static str) -> Oddity;
    let replacements: [Replacement; 3] = [|path| Oddity::Link(path, "elsewhere"), |path| Oddity::Link(path, "nothing"), Oddity::Folder];
    for replacement in replacements {
        for path in [CHECKPOINT, "entries/0000000000.p7s", "export.tlog-proof", WORKING_COPY] {
            let mut case = Case::new();
            let file = case.files.0.remove(path).unwrap();
            case.files.0.insert("elsewhere".to_owned(), file);
            case.files.1.push(replacement(path));
            assert!(case.faults().contains(&FileMissing), "{path}: {:?}", replacement(path));
        }
        let mut case = Case::new();
        case.files.0.remove(MANIFEST);
        case.files.1.push(replacement(MANIFEST));
        assert!(case.judge().is_err(), "a manifest that is elsewhere");

        let mut case = Case::new();
        case.log.policy = believing_time();
        let without = case.judge().unwrap();
        let text = note_text(&String::from_utf8(case.file(CHECKPOINT).clone()).unwrap());
        case.files.0.insert("elsewhere".to_owned(), notary().token(&text, STARTED_MS + 100_000));
        case.files.1.push(replacement("checkpoint.token-0"));
        let verdict = case.judge().unwrap();
        assert_eq!((verdict.grade, &verdict.times), (without.grade, &without.times));
        assert!(verdict.on(Axis::Time).eq(without.on(Axis::Time)), "a token that lies elsewhere was read");
    }
}

/// A host that decodes names as text would lose it, and find another file.
#[test]
fn a_byte_order_mark_is_part_of_a_name() {
    let mut case = copied_to("\u{feff}movies/copy.mp4");
    assert_eq!(case.faults(), []);
    let copy = case.files.0.remove("\u{feff}movies/copy.mp4").unwrap();
    case.files.0.insert("movies/copy.mp4".to_owned(), copy);
    assert_eq!(case.faults(), [FileMissing]);
}
