//! What the log has signed: its newest checkpoint, the one that witnesses have seen, and whether all that was ever seen can be of one log.
//!
//! A signed checkpoint binds the log from the moment that its signatures hold, whether its tree is shown or not.

use exhibit_client::WebError;
use exhibit_tlog::{Checkpoint, Hash, Note, WitnessError, prove_consistency, root_at, verify_consistency};
use serde_json::json;

use super::finding::{Finding, Kind};
use super::proven::{ProvenTiles, of_resource};
use super::round::{Audit, Outcome, Stop};
use super::state::State;
use crate::failure::Failure;

/// A checkpoint that the log has signed.
#[derive(Clone, Debug)]
pub struct SignedHead {
    /// Verbatim.
    pub note: String,
    /// What it says.
    pub head: Checkpoint,
}

/// What a log shows of itself at the beginning of a round.
pub struct Shown {
    /// Its newest checkpoint.
    pub newest: SignedHead,
    /// When the last of the witnesses that the anchor demands has seen it (unix ms).
    pub witnessed_ms: Option<u64>,
}

impl Audit {
    /// Gets the checkpoints, judges the witnesses' lines, and holds the log to both from now on.
    pub(super) async fn shown(&self, state: &mut State, outcome: &mut Outcome) -> Result<Shown, Stop> {
        // The witnessed one first: then it is not beyond the newest, where both are of one server.
        let witnessed = self.witnessed().await?;
        let tpm_signed = self.tpm_signed().await?;
        let note = match self.source.checkpoint().await {
            Ok(note) => note,
            Err(WebError::Absent) if state.is_new() => {
                return Err(Stop::Unavailable("there is no checkpoint at this address: is it the log's?".to_owned()));
            }
            Err(WebError::Absent) => {
                return Err(Stop::Finding(Finding::new(Kind::Missing, "The log has shown a checkpoint before, and now it serves none.")));
            }
            Err(error) => return Err(of_resource("the checkpoint", error).into()),
        };
        let newest = self.signed("the checkpoint", note)?;
        outcome.size = newest.head.size;
        let witnessed_ms = self.witnesses(&witnessed.as_ref().unwrap_or(&newest).note, outcome);
        let beside = witnessed.iter().chain(&tpm_signed).map(|signed| (signed, self.is_mirror()));
        for (signed, elsewhere) in beside.chain([(&newest, false)]) {
            self.tpm_line(&signed.note, outcome);
            state.see(&signed.note, elsewhere);
        }
        Ok(Shown { newest, witnessed_ms })
    }

    /// The newest checkpoint that satisfies the log's witness policy. A busy log's very newest has been seen by nobody yet.
    async fn witnessed(&self) -> Result<Option<SignedHead>, Stop> {
        if self.anchor.policy.witnesses.is_none() {
            return Ok(None);
        }
        match self.beside.witnessed().await {
            Ok(note) => Ok(Some(self.signed("the witnessed checkpoint", note)?)),
            // Not every server knows of it: then the newest one has to have the lines.
            Err(WebError::Absent) => Ok(None),
            Err(error) => Err(of_resource("the witnessed checkpoint", error).into()),
        }
    }

    /// The newest checkpoint that the TPM of the log's machine has signed too, if the anchor names its key. Not every server knows of it, and nobody
    /// demands it.
    async fn tpm_signed(&self) -> Result<Option<SignedHead>, Stop> {
        if self.anchor.policy.tpm_key.is_none() {
            return Ok(None);
        }
        match self.beside.tpm_signed().await {
            Ok(note) => Ok(Some(self.signed("the checkpoint that the TPM has signed", note)?)),
            Err(WebError::Absent) => Ok(None),
            Err(error) => Err(of_resource("the checkpoint that the TPM has signed", error).into()),
        }
    }

    /// As in a verdict: a line in the name of the log's TPM is its signature.
    fn tpm_line(&self, note: &str, outcome: &mut Outcome) {
        let Some(key) = &self.anchor.policy.tpm_key else { return };
        if let Err(reason) = Note::parse(note).and_then(|note| note.signature_of(key).map(drop)) {
            let sentence = format!("A line under a checkpoint bears the name of the log's TPM and is not its signature: {reason}.");
            outcome.of_log.push(Finding::new(Kind::TpmLine, sentence));
        }
    }

    fn signed(&self, what: &str, note: String) -> Result<SignedHead, Stop> {
        let head = self.anchor.verifier.verify(&note).map_err(|error| {
            let sentence = format!("What is served as {what} is not signed by the log of the anchor: {error}.");
            Stop::Finding(Finding::new(Kind::Unsigned, sentence))
        })?;
        Ok(SignedHead { note, head })
    }

    /// Whether as many witnesses as the anchor demands have seen the checkpoint, and when the last of them did (unix ms).
    fn witnesses(&self, note: &str, outcome: &mut Outcome) -> Option<u64> {
        let witnesses = self.anchor.policy.witnesses.as_ref()?;
        let (cosigners, problem) = match witnesses.policy().verify_of(&self.anchor.verifier, note) {
            Ok(witnessed) => (witnessed.cosigners().to_vec(), None),
            Err(WitnessError::Quorum(cosigners)) => {
                let count = cosigners.len();
                (cosigners, Some(format!("Only {count} witnesses of the anchor's policy have seen the log, and it asks for more.")))
            }
            Err(error) => (Vec::new(), Some(format!("A line of a witness under the checkpoint does not hold: {error}."))),
        };
        outcome.of_log.extend(problem.map(|problem| Finding::new(Kind::Witness, problem)));
        cosigners.iter().filter_map(|cosigner| cosigner.unix_s).max().map(|unix_s| unix_s.saturating_mul(1000))
    }

    /// What the log has signed and is held to: the proven checkpoint first, then the others, with whether they were got elsewhere.
    fn known(&self, state: &State) -> Result<Vec<(SignedHead, bool)>, Failure> {
        let seen = state.seen.iter().map(|seen| (&seen.note, seen.elsewhere));
        let all = state.checkpoint.iter().map(|note| (note, false)).chain(seen);
        all.map(|(note, elsewhere)| {
            let head = self.anchor.verifier.verify(note);
            let head =
                head.map_err(|error| Failure::Cannot(format!("a checkpoint in the state folder does not verify any more: {error}")))?;
            Ok((SignedHead { note: note.clone(), head }, elsewhere))
        })
        .collect()
    }

    /// The checkpoint whose tree was proven before.
    pub(super) fn proven(&self, state: &State) -> Result<Option<SignedHead>, Failure> {
        Ok(if state.checkpoint.is_some() { self.known(state)?.into_iter().next().map(|(signed, _)| signed) } else { None })
    }

    /// Whether the newest checkpoint is not beyond one before, and not that: an older one of the same log, or a fork. Nothing is fetched for
    /// this, since a log that was set back can not give what it would take.
    pub(super) fn went_back(&self, state: &mut State, newest: &SignedHead) -> Result<(), Stop> {
        let head = &newest.head;
        for (earlier, elsewhere) in self.known(state)? {
            let same = (earlier.head.size, earlier.head.root) == (head.size, head.root);
            if earlier.head.size < head.size || same || (elsewhere && earlier.head.size > head.size) {
                continue;
            }
            let known = if head.size <= state.tree.size() { Some(state.root_at(head.size)?) } else { None };
            let is_fork = head.size == earlier.head.size || known.is_some_and(|root| root != head.root);
            let proof = json!({
                "type": "exhibit-audit-proof/v1",
                "kind": if is_fork { "forked" } else { "rewound" },
                "earlier": { "size": earlier.head.size, "root": earlier.head.root.to_string() },
                "later": { "size": head.size, "root": head.root.to_string() },
                "earlier_root_at_later_size": known.map(|root| root.to_string()),
            });
            let folder = state.keep_proof(&earlier.note, &newest.note, &proof)?;
            if is_fork || known.is_some() {
                // It is proof of what it is, or the same log: there is nothing that it has to be compared with later.
                state.unsee(&newest.note);
            }
            let kept = format!("Both signed checkpoints are in {}.", folder.display());
            let sentence = if is_fork {
                format!("The log has signed two trees of {} entries, or of one a part that is none. {kept}", head.size)
            } else {
                format!("The log shows {} entries, and has shown {}. {kept}", head.size, earlier.head.size)
            };
            return Err(Stop::Finding(Finding::new(if is_fork { Kind::Forked } else { Kind::Rewound }, sentence)));
        }
        Ok(())
    }

    /// The newer tree has to extend every one before. All hashes are of tiles that the newer root covers, so what does not fit is the log's
    /// doing. Where it does not extend the proven one, nothing of it is judged.
    pub(super) async fn extends(
        &self,
        state: &mut State,
        tiles: &mut ProvenTiles<'_>,
        newest: &SignedHead,
        outcome: &mut Outcome,
    ) -> Result<(), Stop> {
        for (earlier, _) in self.known(state)? {
            if earlier.head.size > newest.head.size {
                continue;
            }
            let is_proven = state.checkpoint.as_ref() == Some(&earlier.note);
            if earlier.head.size < newest.head.size
                && earlier.head.size > 0
                && let Some(finding) = self.contradicts(state, tiles, &earlier, newest).await?
            {
                if is_proven {
                    state.unsee(&newest.note);
                    return Err(Stop::Finding(finding));
                }
                outcome.of_log.push(finding);
            }
            if !is_proven {
                state.unsee(&earlier.note);
            }
        }
        state.checkpoint = Some(newest.note.clone());
        Ok(())
    }

    async fn contradicts(
        &self,
        state: &State,
        tiles: &mut ProvenTiles<'_>,
        earlier: &SignedHead,
        newest: &SignedHead,
    ) -> Result<Option<Finding>, Stop> {
        let (before, after) = (&earlier.head, &newest.head);
        let path = tiles.compute(|reader| prove_consistency(reader, before.size, after.size)).await?;
        if verify_consistency(before.size, &before.root, after.size, &after.root, &path).is_ok() {
            return Ok(None);
        }
        let other = tiles.compute(|reader| root_at(reader, before.size)).await?;
        let proof = json!({
            "type": "exhibit-audit-proof/v1",
            "kind": "forked",
            "earlier": { "size": before.size, "root": before.root.to_string() },
            "later": { "size": after.size, "root": after.root.to_string() },
            "later_root_at_earlier_size": other.to_string(),
            "consistency": path.iter().map(Hash::to_base64).collect::<Vec<_>>(),
        });
        let folder = state.keep_proof(&earlier.note, &newest.note, &proof)?;
        let sentence = format!(
            "The log of {} entries does not extend that of {}, which was signed before. Both signed checkpoints are in {}.",
            after.size,
            before.size,
            folder.display()
        );
        Ok(Some(Finding::new(Kind::Forked, sentence)))
    }
}
