//! Bytes in the non-volatile storage of a real software TPM, tpm2-tools as the second reader.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use exhibit_tpm::{Tpm, TpmError, swtpm::Swtpm};

const INDEX: u32 = 0x0150_0e00;

#[test]
fn what_was_written_is_read_after_a_restart_of_the_tpm_and_by_tpm2_tools() {
    let folder = tempfile::tempdir().unwrap();
    let swtpm = Swtpm::start(folder.path()).unwrap();
    let tpm = Tpm::connect(&swtpm.tcti()).unwrap();
    assert_eq!(tpm.nv_read(INDEX).unwrap(), None, "nothing was ever written");
    for round in 1..4_u8 {
        tpm.nv_write(INDEX, &[round; 104]).unwrap();
        assert_eq!(tpm.nv_read(INDEX).unwrap(), Some(vec![round; 104]));
    }
    assert!(matches!(tpm.nv_write(INDEX, &[4; 103]), Err(TpmError::NotOurs { reason: "it has another size", .. })));
    drop(tpm);
    let read = tpm2(&swtpm, "tpm2_nvread", &["-C", "o", "-s", "104", "0x01500e00"]);
    assert_eq!(read.stdout, [3; 104], "{}", String::from_utf8_lossy(&read.stderr));
    drop(swtpm);
    let swtpm = Swtpm::start(folder.path()).unwrap();
    assert_eq!(Tpm::connect(&swtpm.tcti()).unwrap().nv_read(INDEX).unwrap(), Some(vec![3; 104]), "lost with the power");
}

#[test]
fn an_index_of_somebody_else_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let swtpm = Swtpm::start(folder.path()).unwrap();
    // Whoever knows its (empty) password could write it, not the owner alone.
    let defined = tpm2(&swtpm, "tpm2_nvdefine", &["-C", "o", "-s", "104", "-a", "ownerread|ownerwrite|authwrite|no_da", "0x01500e00"]);
    assert!(defined.status.success(), "{}", String::from_utf8_lossy(&defined.stderr));
    let tpm = Tpm::connect(&swtpm.tcti()).unwrap();
    for refused in [tpm.nv_read(INDEX).map(|_| ()), tpm.nv_write(INDEX, &[1; 104])] {
        assert!(matches!(refused, Err(TpmError::NotOurs { reason: "it has other attributes than we give", .. })), "{refused:?}");
    }
    for not_an_index in [0, 0x8101_0102, 0x00ff_ffff, 0x0200_0000] {
        assert!(matches!(tpm.nv_write(not_an_index, &[1; 104]), Err(TpmError::NotOurs { .. })), "{not_an_index:#x}");
    }
    assert!(tpm.nv_write(INDEX + 1, &[0; 4096]).is_err(), "more than an index can hold");
}

#[test]
fn the_program_says_by_its_exit_code_that_nothing_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let swtpm = Swtpm::start(folder.path()).unwrap();
    let run = |words: &[&str]| {
        let place = ["--tcti", &swtpm.tcti(), "--index", "0x01500e00"].map(str::to_owned);
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_exhibit-tpm-seal")));
        command.args(&words[..1]).args(place).args(&words[1..]).env("TSS2_LOG", "all+NONE").output().unwrap()
    };
    assert_eq!(run(&["read"]).status.code(), Some(1));
    assert_eq!(run(&["write", "00ff"]).status.code(), Some(0));
    let read = run(&["read"]);
    assert_eq!((read.status.code(), &read.stdout[..]), (Some(0), &b"00ff\n"[..]));
    assert_eq!(run(&["write", "0"]).status.code(), Some(2), "half a byte");
    assert_eq!(run(&["write"]).status.code(), Some(64));
    drop(swtpm);
    let gone = ["read", "--tcti", "device:/nowhere", "--index", "0x01500e00"];
    let gone = Command::new(env!("CARGO_BIN_EXE_exhibit-tpm-seal")).args(gone).env("TSS2_LOG", "all+NONE").output().unwrap();
    assert_eq!(gone.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("no TPM answers"), "{gone:?}");
}

fn tpm2(swtpm: &Swtpm, tool: &str, arguments: &[&str]) -> Output {
    Command::new(tool).args(arguments).args(["-T", &swtpm.tcti()]).output().expect("tpm2-tools are installed")
}
