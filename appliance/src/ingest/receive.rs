//! A payload as it arrives: staged and hashed, kept where it is cut off, and in the end given to the ledger.
//!
//! What was judged stands fast here; it knows neither certificates nor rules.

use std::sync::Arc;

use exhibit_evidence::{VerifiedStatement, body::Segment, segment::CiphertextChecker};
use hyper::body::{Bytes, Incoming};
use tokio::task::spawn_blocking;

use super::body::{BodyError, BodyReader};
use super::finish::Complete;
use super::resume::Receiving;
use super::staging::{StagedWriter, Stored};
use super::{Received, StagedAttachments, payload_object, refuse_vault, segment_of};
use crate::api::problem::{Kind, Refusal};
use crate::appliance::Appliance;
use crate::vault::{Object, Staged, VaultError};

/// A payload that arrives.
pub struct Arriving {
    writer: StagedWriter,
    /// Of all of it, from its first byte on; `None` if a part of it came before: then all is read again from the disk.
    checker: Option<CiphertextChecker>,
    received: u64,
    /// Where it is kept if it is cut off.
    upload: Option<Receiving>,
}

/// Why a body did not come to its end.
enum Cut {
    Body(BodyError),
    /// Another request goes on with the upload.
    Stopped,
    Vault(VaultError),
}

impl Arriving {
    /// Of which `received` bytes came before.
    pub fn new(writer: StagedWriter, checker: Option<CiphertextChecker>, received: u64, upload: Option<Receiving>) -> Self {
        Self { writer, checker, received, upload }
    }

    /// Takes what the request brings.
    async fn take(&mut self, body: &mut BodyReader<Incoming>) -> Result<(), Cut> {
        while body.remaining() > 0 {
            let piece: Bytes = match &self.upload {
                None => body.piece(u64::MAX).await,
                Some(upload) => tokio::select! {
                    // What is here already is taken first.
                    biased;
                    piece = body.piece(u64::MAX) => piece,
                    () = upload.stopped() => return Err(Cut::Stopped),
                },
            }
            .map_err(Cut::Body)?;
            if let Some(checker) = &mut self.checker {
                checker.update(&piece);
            }
            self.received += piece.len() as u64;
            self.writer.write(piece).await.map_err(Cut::Vault)?;
        }
        Ok(())
    }
}

/// Takes the payload that a request brings. All of it is admitted; what is a part, or is cut off, is kept.
pub async fn receive(
    appliance: Arc<Appliance>,
    verified: Box<VerifiedStatement>,
    attachments: StagedAttachments,
    mut arriving: Arriving,
    mut body: BodyReader<Incoming>,
    completes: bool,
) -> Result<Received, Refusal> {
    let cut = match arriving.take(&mut body).await {
        Ok(()) => None,
        Err(Cut::Vault(error)) => return Err(refuse_vault(&appliance)(error)),
        Err(Cut::Body(error)) => Some(Refusal::from(error)),
        Err(Cut::Stopped) => Some(Refusal::new(Kind::TimedOut, "another request goes on with this upload")),
    };
    let Arriving { writer, checker, received, upload } = arriving;
    let (upload, arrived) = match (upload, cut, completes) {
        (None, Some(cut), _) => return Err(cut),
        (Some(upload), Some(cut), _) => {
            let staged = writer.finish().await.map_err(refuse_vault(&appliance))?.written().await.map_err(refuse_vault(&appliance))?;
            // Its sender asks for it, and is told then if there was no room.
            let _ = upload.keep(staged, received);
            return Err(cut);
        }
        (Some(upload), None, false) => {
            let staged = writer.finish().await.map_err(refuse_vault(&appliance))?.written().await.map_err(refuse_vault(&appliance))?;
            return upload.keep(staged, received).map(Received::Kept);
        }
        (upload, None, _) if segment_of(&verified).is_some() => {
            let root = checker.map(CiphertextChecker::finish).transpose();
            let is_checked = root.map_err(|error| Refusal::new(Kind::Payload, error.to_string()))?.is_some();
            (upload, Some((writer.finish().await.map_err(refuse_vault(&appliance))?, is_checked)))
        }
        (upload, None, _) => (upload, None),
    };
    let finished = spawn_blocking(move || {
        let mut payload = None;
        let object = payload_object(&verified.signed().statement_hash());
        if let (Some((arrived, is_checked)), Some(segment)) = (arrived, segment_of(&verified)) {
            let staged = arrived.write_out().map_err(refuse_vault(&appliance))?;
            if !is_checked {
                check_staged(staged.as_ref(), segment, &appliance)?;
            }
            payload = Some((staged, object));
        }
        let answered = Complete { verified, attachments: attachments.files, read: attachments.read, payload }.finish(&appliance);
        match (&answered, upload) {
            (Ok(_), Some(upload)) => upload.done(),
            (Err(refusal), Some(upload)) if refusal.kind == Kind::Overloaded => keep_stored(upload, &appliance, object, received),
            _ => {}
        }
        answered.map(Received::Admitted)
    });
    finished.await.map_err(|_| Refusal::new(Kind::Internal, "the appliance failed: try again"))?
}

/// The ciphertext is durable, and only its entry had no place in the ledger's queue: its sender comes back without it.
fn keep_stored(upload: Receiving, appliance: &Appliance, object: Object, received: u64) {
    if let Some(stored) = Stored::find(appliance.vault.clone(), object) {
        // Without room for it the sender is told so when it asks.
        let _ = upload.keep(Box::new(stored), received);
    }
}

/// Reads again what came in several requests: between them it lay on a disk, which is not believed. Blocks.
fn check_staged(staged: &dyn Staged, segment: &Segment, appliance: &Appliance) -> Result<(), Refusal> {
    let stored = staged.written().map_err(refuse_vault(appliance))?;
    let mut checker = CiphertextChecker::new(segment);
    let mut buffer = vec![0; READ_BYTES];
    let mut offset = 0;
    while offset < stored.length() {
        let count = usize::try_from(stored.length() - offset).unwrap_or(usize::MAX).min(READ_BYTES);
        stored.read_exact_at(&mut buffer[..count], offset).map_err(refuse_vault(appliance))?;
        checker.update(&buffer[..count]);
        offset += count as u64;
    }
    checker.finish().map_err(|error| Refusal::new(Kind::Payload, error.to_string()))?;
    Ok(())
}

/// Read at a time: as much as is written at a time.
const READ_BYTES: usize = 256 * 1024;
