//! The newest head in a TPM's non-volatile storage: it is on no disk, so no copy of a disk brings an old one back.
//!
//! It links no TPM stack: `exhibit-tpm-seal`, a program of its own, speaks to the TPM. What is kept is in docs/formats/ledger.md.

use std::io::{self, Read};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use exhibit_ledger::{HeadSeal, SealError, SealedHead};
use exhibit_tlog::{Checkpoint, Hash, LogVerifier};
use sha2::{Digest, Sha256};

/// `tpm_seal` in `appliance.toml`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TpmSealConfig {
    /// How libtss2 reaches the TPM: `device:/dev/tpmrm0`.
    pub tcti: String,
    /// The index of non-volatile storage that is this log's alone: `0x01500e00`, say.
    pub index: u32,
    /// The program that speaks to the TPM.
    #[serde(default = "program")]
    pub program: PathBuf,
}

/// Where packages and the image put it.
fn program() -> PathBuf {
    PathBuf::from("/usr/bin/exhibit-tpm-seal")
}

/// What this process knows to be in the TPM.
#[derive(Clone, Copy, Default)]
struct Known {
    /// As it was read, or written.
    seen: Option<SealedHead>,
    /// What was written last, whatever was told of it.
    tried: Option<SealedHead>,
}

/// A head in a TPM.
pub struct TpmSeal {
    config: TpmSealConfig,
    log: Hash,
    /// While it is there, nobody else in this network namespace goes on with what this index keeps.
    claimed: Mutex<Option<UnixListener>>,
    /// What this process has read there, or written, last: whoever has changed it since has the same TPM and the same log, wherever it runs.
    known: Mutex<Known>,
}

impl TpmSeal {
    /// For the heads of one log: what another one has written is refused.
    pub fn new(config: &TpmSealConfig, log: &LogVerifier) -> Self {
        Self { config: config.clone(), log: name_of(log), claimed: Mutex::default(), known: Mutex::default() }
    }

    fn failed(&self, defect: impl ToString) -> SealError {
        SealError { place: format!("the TPM's index {:#010x}", self.config.index), defect: defect.to_string() }
    }

    fn run(&self, command: &str, bytes: Option<&str>) -> Result<Output, SealError> {
        let mut program = Command::new(&self.config.program);
        program.args([command, "--tcti", &self.config.tcti, "--index", &format!("{:#010x}", self.config.index)]).args(bytes);
        // The TPM stack writes lines of its own.
        program.env("TSS2_LOG", "all+NONE").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = |error: io::Error| self.failed(format_args!("{}: {error}", self.config.program.display()));
        output_within(program.spawn().map_err(failed)?, RUN_MAX).map_err(failed)
    }

    fn told(&self, output: &Output) -> SealError {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.trim().lines().last().unwrap_or("it said nothing").to_owned();
        self.failed(last)
    }

    fn encode(&self, head: &Checkpoint) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..16].copy_from_slice(FORMAT);
        bytes[16..48].copy_from_slice(&self.log.0);
        bytes[48..56].copy_from_slice(&head.size.to_be_bytes());
        bytes[56..88].copy_from_slice(&head.root.0);
        let digest = Sha256::digest(&bytes[..88]);
        bytes[88..].copy_from_slice(&digest[..16]);
        bytes
    }

    fn decode(&self, bytes: &[u8]) -> Result<SealedHead, SealError> {
        let bytes: &[u8; LENGTH] = bytes.try_into().map_err(|_| self.failed("it holds no sealed head: another length"))?;
        if bytes[..16] != FORMAT[..] || Sha256::digest(&bytes[..88])[..16] != bytes[88..] {
            return Err(self.failed("it holds no sealed head"));
        }
        if bytes[16..48] != self.log.0 {
            return Err(self.failed("it holds the head of another log: each log has an index of its own"));
        }
        let size = u64::from_be_bytes(bytes[48..56].try_into().expect("eight bytes"));
        Ok(SealedHead { size, root: Hash(bytes[56..88].try_into().expect("32 bytes")) })
    }
}

impl TpmSeal {
    fn kept(&self) -> Result<Option<SealedHead>, SealError> {
        let output = self.run("read", None)?;
        match output.status.code() {
            Some(0) => {
                let text = String::from_utf8_lossy(&output.stdout);
                let bytes = hex::decode(text.trim()).map_err(|_| self.failed("its program printed something else than hexadecimal"))?;
                self.decode(&bytes).map(Some)
            }
            Some(1) => Ok(None),
            _ => Err(self.told(&output)),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeadSeal for TpmSeal {
    fn read(&self) -> Result<Option<SealedHead>, SealError> {
        let kept = self.kept()?;
        self.known().seen = kept;
        Ok(kept)
    }

    /// Written over is only what this process knows: a copy of the log that goes on elsewhere is found here, and stays to be found at the next start.
    fn write(&self, head: &Checkpoint, _: &str) -> Result<(), SealError> {
        let mut known = self.known();
        let kept = self.kept()?;
        // A write of ours that was not told to have succeeded may have.
        if kept != known.seen && (kept.is_none() || kept != known.tried) {
            return Err(self.failed(TAKEN));
        }
        let head_to_keep = SealedHead { size: head.size, root: head.root };
        *known = Known { seen: kept, tried: Some(head_to_keep) };
        let output = self.run("write", Some(&hex::encode(self.encode(head))))?;
        if !output.status.success() {
            return Err(self.told(&output));
        }
        known.seen = Some(head_to_keep);
        Ok(())
    }

    fn interval_s(&self) -> u64 {
        INTERVAL_S
    }

    /// A name without a file (unix(7), abstract): the kernel gives it to one process, and takes it back when that ends, however it does.
    fn claim(&self) -> Result<(), SealError> {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        if claimed.is_some() {
            return Ok(());
        }
        let name = format!("exhibit-tpm-seal/{:08x}/{}", self.config.index, self.log);
        let bind = || SocketAddr::from_abstract_name(&name).and_then(|address| UnixListener::bind_addr(&address));
        let mut bound = bind();
        for _ in 0..CLAIMS_MAX {
            if !bound.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse) {
                break;
            }
            std::thread::sleep(CLAIM_PAUSE);
            bound = bind();
        }
        match bound {
            Ok(listener) => *claimed = Some(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(self.failed(TAKEN)),
            Err(error) => tracing::warn!(%error, "the seal can not be claimed: two copies of the log could go on at once"),
        }
        Ok(())
    }
}

/// What a program has printed when it has ended; one that takes longer is killed. A TPM that hangs must not hang start and stop.
fn output_within(mut child: Child, limit: Duration) -> io::Result<Output> {
    let (stdout, stderr) = (child.stdout.take().expect("it is piped"), child.stderr.take().expect("it is piped"));
    let (sender, ended) = channel();
    let read = move || {
        let (mut out, mut error) = (Vec::new(), Vec::new());
        // A few lines: the pipe of the second holds them while the first is read.
        let read = stdout.take(OUTPUT_BYTES_MAX).read_to_end(&mut out).and_then(|_| stderr.take(OUTPUT_BYTES_MAX).read_to_end(&mut error));
        // Who waited too long has gone.
        let _ = sender.send(read.map(|_| (out, error)));
    };
    std::thread::Builder::new().name("tpm-seal".into()).spawn(read)?;
    let told = ended.recv_timeout(limit);
    if told.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    let (stdout, stderr) = told.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it did not end in time"))??;
    Ok(Output { status, stdout, stderr })
}

/// Origin and note keys: what a log is named by before its genesis is there.
fn name_of(log: &LogVerifier) -> Hash {
    let mut keys: Vec<String> = log.keys.iter().map(ToString::to_string).collect();
    keys.sort();
    Hash(Sha256::digest(format!("{}\n{}", log.origin, keys.join("\n"))).into())
}

const TAKEN: &str = "another process goes on with this log, from this folder or from a copy of it. Two would fork the log: stop one \
    of them, and keep the folder whose process ran first";

/// Whoever has just let go of it may have been starting a program, which has our files until it is itself: half a second is waited for that.
const CLAIMS_MAX: u32 = 25;
const CLAIM_PAUSE: Duration = Duration::from_millis(20);
/// A discrete TPM takes a second, one that is busy some more.
const RUN_MAX: Duration = Duration::from_secs(30);
/// A head in hexadecimal, or a message.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024;
/// The cells of a discrete TPM die after about half a million writes: hourly, that is 57 years.
const INTERVAL_S: u64 = 3600;
const FORMAT: &[u8; 16] = b"exhibit/head/1\0\0";
/// Format, log, size, root, and half of SHA-256 over them.
const LENGTH: usize = 16 + 32 + 8 + 32 + 16;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use exhibit_tlog::{Ed25519NoteSigner, NoteSigner};

    fn seal(origin: &str) -> TpmSeal {
        let key = Ed25519NoteSigner::new(origin, &zeroize::Zeroizing::new([1; 32])).unwrap().verifier_key().clone();
        let config = TpmSealConfig { tcti: "device:/nowhere".into(), index: 0x0150_0e00, program: "/nowhere".into() };
        TpmSeal::new(&config, &LogVerifier { origin: origin.into(), keys: vec![key] })
    }

    /// docs/formats/ledger.md gives the same bytes.
    #[test]
    fn a_head_is_kept_as_the_format_document_says() {
        let head = Checkpoint { origin: "log".into(), size: 258, root: Hash([2; 32]) };
        let bytes = seal("log").encode(&head);
        assert_eq!(bytes[..16], *b"exhibit/head/1\0\0");
        assert_eq!(bytes[48..56], [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(bytes[56..88], [2; 32]);
        assert_eq!(bytes.len(), 104);
        assert_eq!(seal("log").decode(&bytes).unwrap(), SealedHead { size: 258, root: Hash([2; 32]) });
    }

    /// A copy of the folder that is as new as the index passes every other check.
    #[test]
    fn two_do_not_go_on_with_one_index() {
        let origin = format!("claimed/{}", std::process::id());
        let first = seal(&origin);
        first.claim().unwrap();
        first.claim().unwrap();
        let refused = seal(&origin).claim().unwrap_err();
        assert!(refused.defect.contains("would fork the log"), "{refused}");
        seal("another/log").claim().unwrap();
        drop(first);
        seal(&origin).claim().unwrap();
    }

    /// Where a container has a network of its own, its claim is nobody else's. The TPM is everybody's.
    #[test]
    fn a_copy_that_goes_on_elsewhere_is_found_when_the_head_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (program, kept) = (folder.path().join("tpm"), folder.path().join("kept"));
        // Whatever is just being started has no file of this test open for writing.
        let script = format!(
            "[ $1 = read ] && {{ [ -e {0} ] || exit 1; exec cat {0}; }}; shift 5; echo $1 > {0}; [ ! -e {0}.broken ]",
            kept.display()
        );
        let mut made = Command::new("/bin/sh");
        made.arg("-c").arg("printf '#!/bin/sh\n%s\n' \"$0\" > \"$1\" && chmod 755 \"$1\"").arg(script).arg(&program);
        assert!(made.status().unwrap().success());
        let here = || TpmSeal { config: TpmSealConfig { program: program.clone(), ..seal("log").config }, ..seal("log") };
        let head = |size| Checkpoint { origin: "log".into(), size, root: Hash([2; 32]) };
        let (ours, copy) = (here(), here());
        assert_eq!(ours.read().unwrap(), None);
        ours.write(&head(1), "").unwrap();
        // It took effect, and nobody was told: the next one is no other's.
        let broken = folder.path().join("kept.broken");
        std::fs::write(&broken, "").unwrap();
        assert!(!ours.write(&head(2), "").unwrap_err().defect.contains("would fork the log"));
        std::fs::remove_file(broken).unwrap();
        ours.write(&head(2), "").unwrap();
        assert_eq!(copy.read().unwrap().unwrap().size, 2);
        copy.write(&head(3), "").unwrap();
        let refused = ours.write(&head(4), "").unwrap_err();
        assert!(refused.defect.contains("would fork the log"), "{refused}");
        assert_eq!(here().read().unwrap().unwrap().size, 3, "what the other has sealed is not there any more");
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let spawn = |script: &str| {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let hanging = spawn("exec tail -f /dev/null");
        let id = hanging.id();
        let late = output_within(hanging, Duration::from_millis(50)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists(), "it is still there");
        let told = output_within(spawn("echo out; echo error >&2; exit 1"), RUN_MAX).unwrap();
        assert_eq!((told.status.code(), &*told.stdout, &*told.stderr), (Some(1), &b"out\n"[..], &b"error\n"[..]));
    }

    #[test]
    fn another_logs_head_a_flipped_bit_and_another_length_are_refused() {
        let head = Checkpoint { origin: "log".into(), size: 258, root: Hash([2; 32]) };
        let bytes = seal("log").encode(&head);
        assert!(seal("other").decode(&bytes).unwrap_err().defect.contains("another log"));
        for bit in 0..LENGTH * 8 {
            let mut altered = bytes;
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(seal("log").decode(&altered).is_err(), "bit {bit}");
        }
        assert!(seal("log").decode(&bytes[1..]).is_err());
        assert!(seal("log").read().is_err(), "a program that is not there is no empty seal");
    }
}
