//! Stock tools, and the files that they are given.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

/// Runs openssl in `folder`; its output if it says yes.
pub fn openssl(folder: &Path, arguments: &str) -> Result<String, String> {
    let run = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let run = run.expect("the openssl program is needed for this test: apt-get install openssl");
    let output = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    if run.status.success() { Ok(output) } else { Err(output) }
}

pub fn write(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) {
    fs::write(folder.path().join(name), content).unwrap();
}

pub fn read(folder: &TempDir, name: &str) -> Vec<u8> {
    fs::read(folder.path().join(name)).unwrap()
}
