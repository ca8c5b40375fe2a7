//! OCSP: openssl believes our responses and judges as we do, we read its requests and responses, and nothing with a flaw is taken.
#![allow(clippy::unwrap_used)]

#[path = "../../../tests/independent/chance.rs"]
mod chance;
mod forge;
#[path = "../support/judged.rs"]
mod judged;
mod openssl;
mod requests;
mod responses;
mod status;
#[path = "../../../tests/independent/structure.rs"]
mod structure;
mod structured;
#[path = "../support/mod.rs"]
mod support;

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: [fn(); 15] = [
        responses::the_forger_can_write_responses_without_a_flaw,
        responses::a_response_of_another_form_is_refused,
        responses::an_answer_with_a_flaw_is_refused,
        responses::times_extensions_and_nonces_with_a_flaw_are_refused,
        responses::a_response_that_no_responder_signed_is_refused,
        responses::who_is_no_responder_of_the_authority_is_not_believed,
        responses::no_altered_byte_goes_unnoticed,
        status::a_response_is_asked_at_a_moment,
        status::a_response_says_nothing_of_the_certificates_of_namesakes,
        status::good_ends_with_the_certificate_of_the_responder,
        requests::a_request_with_a_flaw_is_not_understood,
        requests::our_responder_answers_what_it_was_asked,
        openssl::openssl_asks_and_believes_our_responder,
        openssl::we_believe_the_responder_of_openssl,
        openssl::openssl_judges_responses_as_we_do,
    ];
    judged::assert_agrees_on(&tests, 900);
}
