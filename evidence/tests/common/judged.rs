//! Judges signed statements, and remembers what it judged, so that the verifier in Python can judge the same.

use std::cell::RefCell;

use exhibit_evidence::{SignedStatement, SignedStatementError, VerifiedStatement, VerifyError};
use exhibit_pki::{Certificate, signature::RustCrypto};

use crate::independent::{self, Answer, Question};

thread_local! {
    /// Everything that this thread has judged.
    static JUDGED: RefCell<Vec<Question>> = const { RefCell::new(Vec::new()) };
}

pub fn parse(der: &[u8]) -> Result<SignedStatement, SignedStatementError> {
    let parsed = SignedStatement::parse(der);
    JUDGED.with_borrow_mut(|all| all.push(("signed-statement", vec![der.to_vec()], Answer::of(parsed.is_ok()))));
    parsed
}

pub fn verify(signed: &SignedStatement, certificate: &Certificate) -> Result<VerifiedStatement, VerifyError> {
    let verified = signed.verify(certificate, &RustCrypto);
    let with = vec![signed.der().to_vec(), certificate.der().to_vec()];
    JUDGED.with_borrow_mut(|all| all.push(("signed-statement-by", with, Answer::of(verified.is_ok()))));
    verified
}

/// Has everything judged again that this thread has judged, good and bad.
pub fn assert_independent_agrees() {
    let judged = JUDGED.take();
    for answer in [Answer::Accepted, Answer::Refused] {
        assert!(judged.iter().filter(|(_, _, found)| *found == answer).count() > 5, "good and bad belong among what is compared");
    }
    independent::assert_agrees(&judged);
}
