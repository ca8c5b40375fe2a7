//! A vault on a disk of its own that fills, can only be read, is not mounted, or goes away: what is acknowledged stays, what is refused says so, and with
//! the disk all goes on without a hand.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::small_disk::{fill, free, mount, on_a_small_disk, unmount};
use common::*;
use exhibit_appliance::health::{Code, Status, of};
use exhibit_appliance::setup::Folder;

const STATE_DISK_MIB: u64 = 512;
const VAULT_DISK_MIB: u64 = 128;
const RESERVE: &str = "disk_reserve_mib = 32\n";
const MIB: u64 = 1024 * 1024;
const LENGTH: usize = 1 << 20;

struct Site {
    world: World,
    camera: Writer,
    vault: PathBuf,
}

impl Site {
    /// An appliance whose vault is moved to another disk before its camera begins.
    async fn new() -> Self {
        let world = World::with(RESERVE).await;
        let vault = world.folder.path().join("state/vault");
        let world = world.restart_after(|folder| move_to_a_disk(&folder.join("state/vault"))).await;
        let (_, recipients) = world.set_recipients().await;
        let camera = world.begin_epoch("20261120T115958Z", recipients).await;
        Self { world, camera, vault }
    }

    /// The next segment; the chain goes on if it is admitted.
    async fn send(&mut self) -> Answer {
        let (seq, slot) = (self.camera.seq, 2 * self.camera.seq as u32);
        let (body, payload) = segment(&self.camera.stream, seq, slot, &vec![seq as u8; LENGTH]);
        let signed = self.camera.next(body);
        let answer = self.world.connect(&self.world.camera).await.put(&signed, &[], &payload).await;
        if answer.status == 201 {
            answer.admitted(201, &self.world.anchor, &mut self.camera, &signed);
        }
        answer
    }

    async fn health(&self) -> (Status, Vec<Code>) {
        let appliance = self.world.running.appliance.clone();
        let health = tokio::task::spawn_blocking(move || of(&appliance)).await.unwrap();
        (health.status, health.reasons.iter().map(|reason| reason.code).collect())
    }

    async fn is_refused(&mut self, code: Code) {
        let size = self.world.size();
        let refused = self.send().await;
        assert_eq!((refused.status, refused.kind().as_str()), (507, "storage"));
        let (status, codes) = self.health().await;
        assert!(status == Status::Failing && codes.contains(&code), "{codes:?}");
        // What a full disk refuses is not tried; all else is a write that failed.
        assert!(code == Code::DiskFull || codes.contains(&Code::StorageFailing), "{codes:?}");
        assert_eq!(self.world.size(), size, "what was refused is on the ledger");
        assert_eq!(*self.world.fatal.lock().unwrap(), [""; 0], "it ended the appliance");
    }

    async fn goes_on(&mut self) {
        assert_eq!(self.send().await.status, 201);
        let (_, codes) = self.health().await;
        assert!(codes.iter().all(|code| *code == Code::StorageFailing), "{codes:?}");
    }

    /// Everything that was acknowledged is on the ledger and in the vault.
    async fn is_whole(&self) {
        let mut auditor = self.world.connect(&self.world.auditor).await;
        for seq in 0..self.camera.seq {
            assert_eq!(auditor.get(&format!("/v1/streams/{}/{seq}", self.camera.stream)).await.status, 200, "{seq}");
        }
        let stored = walk(&self.vault.join("payloads"));
        assert_eq!(stored as u64, self.camera.seq - 1, "segments that were acknowledged");
    }
}

fn walk(payloads: &Path) -> usize {
    let folders = std::fs::read_dir(payloads).unwrap().map(|folder| folder.unwrap().path());
    folders.map(|folder| std::fs::read_dir(folder).unwrap().count()).sum()
}

fn move_to_a_disk(vault: &Path) {
    let aside = vault.with_file_name("aside");
    std::fs::rename(vault, &aside).unwrap();
    std::fs::create_dir(vault).unwrap();
    mount(&["-t", "tmpfs", "-o", &format!("size={VAULT_DISK_MIB}m"), "none"], vault);
    assert!(Command::new("cp").arg("-a").arg(aside.join(".")).arg(vault).status().unwrap().success());
    std::fs::remove_dir_all(aside).unwrap();
}

#[test]
fn a_vault_whose_disk_fills_refuses_and_goes_on_with_room() {
    on_a_small_disk("a_vault_whose_disk_fills_refuses_and_goes_on_with_room", STATE_DISK_MIB, async {
        let mut site = Site::new().await;
        site.goes_on().await;
        let others = site.vault.join("others");
        fill(&others, free(&site.vault) - 20 * MIB);
        site.is_refused(Code::DiskFull).await;
        assert!(free(site.world.folder.path()) > 100 * MIB, "the ledger's disk has room");
        std::fs::remove_file(&others).unwrap();
        site.goes_on().await;
        site.is_whole().await;
    });
}

#[test]
fn a_vault_that_can_only_be_read_is_read() {
    on_a_small_disk("a_vault_that_can_only_be_read_is_read", STATE_DISK_MIB, async {
        let mut site = Site::new().await;
        site.goes_on().await;
        mount(&["-o", "remount,ro"], &site.vault);
        site.is_refused(Code::DiskReadOnly).await;
        site.is_whole().await;
        // No start is refused for it: what is there can be read.
        mount(&["-o", "remount,rw"], &site.vault);
        site.goes_on().await;
        site.is_whole().await;
    });
}

#[test]
fn a_vault_that_goes_away_is_missed_and_none_is_made_in_its_place() {
    on_a_small_disk("a_vault_that_goes_away_is_missed_and_none_is_made_in_its_place", STATE_DISK_MIB, async {
        let mut site = Site::new().await;
        site.goes_on().await;
        // The disk stays in the system, as one that can be mounted again.
        let elsewhere = site.vault.with_file_name("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        mount(&["--bind", site.vault.to_str().unwrap()], &elsewhere);
        unmount(&site.vault);
        site.is_refused(Code::DiskGone).await;
        assert_eq!(std::fs::read_dir(&site.vault).unwrap().count(), 0, "a vault was made where its disk should be");

        // Neither does a start make one.
        let state = site.world.folder.path().join("state");
        let refused = Folder::new(&state).vault_of_log().err().unwrap().to_string();
        assert!(refused.contains("mount that disk"), "{refused}");
        assert_eq!(std::fs::read_dir(&site.vault).unwrap().count(), 0);

        mount(&["--bind", elsewhere.to_str().unwrap()], &site.vault);
        site.goes_on().await;
        site.is_whole().await;
        site.world = site.world.restart().await;
        site.is_whole().await;
    });
}

#[test]
fn a_ledger_that_can_only_be_read_is_not_served_and_starts_once_it_can_be_written() {
    on_a_small_disk("a_ledger_that_can_only_be_read_is_not_served_and_starts_once_it_can_be_written", STATE_DISK_MIB, async {
        let World { running, folder, .. } = World::with(RESERVE).await;
        stop(running).await;
        let (state, disk) = (folder.path().join("state"), folder.path().parent().unwrap());
        let serve = || {
            let mut program = Command::new(env!("CARGO_BIN_EXE_exhibit-appliance"));
            program.args(["serve", "--intake", "127.0.0.1:0", "--public", "127.0.0.1:0", "--state"]).arg(&state).output().unwrap()
        };
        mount(&["-o", "remount,ro"], disk);
        let refused = serve();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.to_lowercase().contains("read-only"), "it does not say why: {said}");
        mount(&["-o", "remount,rw"], disk);
        let served = served::Served::start(&state, "", &[]);
        served.terminate();
    });
}
