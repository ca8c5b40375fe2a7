//! TPM attestation: what a software TPM once said (`pki/tests/vectors/attestation/`, recorded by `pki/tpm/tests/attestation.rs`) is
//! believed, and every alteration of it is refused with the error for its defect.
#![allow(clippy::unwrap_used)]

mod certificate;
mod golden;
mod keys;
mod properties;
mod statements;
mod support;
