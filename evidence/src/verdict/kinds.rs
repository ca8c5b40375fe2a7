//! The kinds of findings, each with the axes that it bears on: what two verifiers must agree in (docs/formats/bundle.md has the same table).
//!
//! It does not know how any of it is found.

use serde::Serialize;

use super::Axis;

macro_rules! finding_kinds {
    ($($(#[$meaning:meta])* $kind:ident: $($axis:ident),+;)+) => {
        /// What exactly was found. Programs go by this; people read the sentence.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum FindingKind {
            $($(#[$meaning])* $kind,)+
        }

        impl FindingKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The axes that it bears on, in their order. No finding is on another.
            pub fn axes(self) -> &'static [Axis] {
                match self {
                    $(Self::$kind => &[$(Axis::$axis),+],)+
                }
            }

            /// The axis itself if the kind bears on it, else the first that it bears on.
            pub(super) fn axis(self, axis: Axis) -> Axis {
                if self.axes().contains(&axis) { axis } else { self.axes()[0] }
            }
        }
    };
}

finding_kinds! {
    /// A file that the manifest or a statement names is not there.
    FileMissing: Signature, Continuity, Time, Revocation, Device, Payload;
    /// A file is not what the manifest or a statement says, or is longer than any of its kind.
    FileAltered: Signature, Continuity, Time, Revocation, Device, Payload;
    /// An entry is not a signed statement.
    EntryMalformed: Signature;
    /// An entry is of another log.
    OtherLog: Signature;
    /// A receipt does not prove the entry under the bundle's checkpoint.
    Receipt: Signature;
    /// The signer's certificate was not on the ledger before the statement.
    CertificateUnknown: Signature;
    /// The signer's certificate does not lead to a trusted root, or was not valid at the time.
    CertificatePath: Signature;
    /// The statement is not its signer's.
    StatementSignature: Signature;
    /// The checkpoint observed lies after the statement, or falls within the stream.
    Observed: Signature, Continuity;
    /// A statement does not follow the one before it.
    ChainBroken: Continuity;
    /// Statements of the chain are missing from the bundle.
    ChainHole: Continuity;
    /// The interval asked for is not covered by segments, and no statement says why.
    Uncovered: Continuity;
    /// The camera says why there is nothing.
    Gap: Continuity;
    /// Nothing was recorded, by the camera's mode.
    NotRecorded: Continuity;
    /// It was recorded and is lost.
    Lost: Continuity;
    /// The camera lost its state: what it had recorded before is not known.
    StateLost: Continuity;
    /// The camera had it, and the log had not received it yet.
    NotYetReceived: Continuity;
    /// Another device took the camera's place.
    DeviceReplaced: Continuity;
    /// Two statements for one place are signed by one key.
    Contradiction: Continuity;
    /// What the appliance calls a contradiction is none.
    ContradictionFalse: Signature;
    /// The content was deleted by a rule.
    Erased: Payload;
    /// A segment is proven to exist, and its content is not disclosed.
    Withheld: Payload;
    /// The commitments do not match what the camera signed.
    Commitments: Payload;
    /// A fragment is not what the camera sealed.
    FragmentAltered: Payload;
    /// A segment is disclosed that was not asked for, and of which only the content was judged.
    NotAskedFor: Payload;
    /// A certificate was used after its validity, by the time that others give.
    CertificateExpired: Signature;
    /// Entries of the log before this one are known to be lost.
    LostEntries: Continuity;
    /// A playable copy is made of the disclosed fragments, or is not.
    WorkingCopy: Payload;
    /// A file is the exporter's own, and nothing of it is compared with anything.
    ExporterFile: Payload;
    /// A file lies in the bundle that nothing in it names.
    FileUnlisted: Payload;
    /// A line under a checkpoint bears the name of a witness and is not its signature.
    Cosignature: Witness;
    /// No exporter's statement is here: the log has ended, or was lost, so that none could be stated there; or it was taken away.
    ExportElsewhere: Signature;
    /// A line under the checkpoint bears the name of the log's TPM and is not its signature.
    TpmLine: Signature;
    /// Fewer witnesses have cosigned than the anchor's policy asks for.
    WitnessQuorum: Witness;
    /// A head that was observed or timestamped is no part of this log: two logs were shown.
    Fork: Witness;
    /// Nothing shows that a head which was observed is a part of this log.
    HeadUnproven: Witness;
    /// A timestamp does not hold, or is of an authority that the anchor does not name.
    Timestamp: Time;
    /// Of a segment it is not shown before or after when it was sealed.
    TimeUnbounded: Time;
    /// When it was sealed is shown on the operator's own word alone.
    TimeOperator: Time;
    /// The camera's clock says a time at which the statement can not have been sealed.
    ClaimContradicted: Time;
    /// The bounds of a time exclude each other.
    TimeContradiction: Time;
    /// A revocation list is not believed.
    RevocationList: Revocation;
    /// What hangs on a certificate was sealed after its key stopped to be believed.
    Revoked: Revocation;
    /// It is not shown whether it was sealed before or after.
    RevocationUndecided: Revocation;
    /// It was sealed before.
    RevokedLater: Revocation;
    /// Nothing shows that a certificate was not revoked when it signed.
    RevocationUnshown: Revocation;
    /// The evidence of a device's enrolment does not hold.
    Enrolment: Device;
    /// The device is less than the anchor accepts, or no TPM.
    DeviceLevel: Device;
    /// What a camera's TPM is said to attest does not hold.
    Attestation: Device;
    /// A camera's TPM stated the values of its registers.
    Quote: Device;
    /// The recipients that the camera obeyed are not shown, or not for this camera.
    Recipients: Signature;
    /// Fewer custodians than had to stand behind the recipients that the camera obeyed.
    RecipientsThreshold: Signature;
    /// Who decided on the recipients is not shown.
    RecipientsUnknown: Signature;
    /// The camera obeyed older recipients than before.
    RecipientsRollback: Signature;
    /// The camera obeyed recipients that were to be renewed.
    RecipientsStale: Signature;
    /// A second live certificate of somebody, without a custodian's approval.
    SecondCertificate: Signature;
    /// Somebody got another key than before, which a custodian approved of; or, so far as is known, instead of one that was dead.
    KeyReplaced: Signature;
    /// The exporter's statement is missing or is of another bundle.
    Export: Signature;
    /// A statement of a type that this version does not know.
    NotJudged: Continuity;
    /// Nothing in the bundle speaks to this axis.
    NoEvidence: Continuity, Witness, Time, Revocation, Device, Payload;
    /// The axis holds.
    Holds: Signature, Continuity, Witness, Time, Revocation, Device, Payload;
}
