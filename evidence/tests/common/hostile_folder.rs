//! A folder that comes from anybody: links, names that no manifest has, folders without end. Whoever reads it as a bundle, on whatever machine,
//! must say the same of it (docs/formats/bundle.md).

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The plain files in it that a manifest can name; the content of each is one byte.
pub const PLAIN: [&str; 4] = ["file", "movies/copy.mp4", "movies/copy\u{fffd}.mp4", "deep/2/3/4/5/6/7/8"];

/// What no plain file in the folder is.
pub const ABSENT: [&str; 14] = [
    "absent",
    "link",
    "up/secret",
    "up/bundle/file",
    "inside",
    "working/copy.mp4",
    "loop",
    "loop/file",
    "dangling",
    "movies",
    "file/x",
    "\u{feff}file",
    r"movies/copy\xff.mp4",
    "movies/copy.mp",
];

/// What leads out of the folder, or has another name in it.
pub const REFUSED: [&str; 4] = ["../secret", "movies/../../secret", "/etc/passwd", ""];

/// Everything that it holds, in order: links to folders, and folders as deep as any path, have a slash at the end; bytes that are no UTF-8 are told
/// as no manifest can name them.
pub const LISTED: [&str; 13] = [
    "dangling",
    "deep/2/3/4/5/6/7/8",
    "deep/2/3/4/5/6/7/folder/",
    "file",
    "inside",
    "link",
    "loop",
    r"movies/\x80/copy.mp4",
    "movies/copy.mp4",
    r"movies/copy\xff.mp4",
    "movies/copy\u{fffd}.mp4",
    "up/",
    "working/",
];

/// Makes the folder in another, which holds a secret that is none of the bundle's.
pub fn hostile_folder(outside: &Path) -> PathBuf {
    let folder = outside.join("bundle");
    fs::create_dir(&folder).unwrap();
    fs::write(outside.join("secret"), b"1").unwrap();
    let not_utf8 = [&b"movies/copy\xff.mp4"[..], b"movies/\x80/copy.mp4"].map(OsStr::from_bytes);
    let beyond_any_path = OsStr::new("deep/2/3/4/5/6/7/folder/9/10");
    for file in PLAIN.into_iter().map(OsStr::new).chain(not_utf8).chain([beyond_any_path]) {
        fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
        fs::write(folder.join(file), b"1").unwrap();
    }
    for (target, link) in
        [("../secret", "link"), ("..", "up"), ("file", "inside"), ("movies", "working"), ("loop", "loop"), ("nothing", "dangling")]
    {
        symlink(target, folder.join(link)).unwrap();
    }
    folder
}
