//! Timestamp tokens: openssl believes ours, we believe its, and neither believes what has a flaw.
#![allow(clippy::unwrap_used)]

mod authorities;
#[path = "../../../tests/independent/chance.rs"]
mod chance;
mod forge;
#[path = "../support/judged.rs"]
mod judged;
mod openssl;
#[path = "../../../tests/independent/structure.rs"]
mod structure;
mod structured;
#[path = "../support/mod.rs"]
mod support;
mod tokens;

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: [fn(); 17] = [
        tokens::the_forger_can_write_tokens_without_a_flaw,
        tokens::a_token_of_another_form_is_refused,
        tokens::signed_attributes_with_a_flaw_are_refused,
        tokens::a_signer_that_is_not_named_as_it_must_be_is_refused,
        tokens::a_token_that_says_something_with_a_flaw_is_refused,
        tokens::what_a_token_says_beside_the_time_with_a_flaw_is_refused,
        tokens::an_authority_that_gives_no_timestamps_is_refused,
        tokens::an_authority_that_leads_to_no_anchor_is_refused,
        tokens::bytes_that_are_not_one_der_value_are_refused,
        openssl::we_verify_the_tokens_of_openssl,
        openssl::we_verify_tokens_with_pss,
        authorities::keys_and_certificates_of_no_suite_are_refused,
        authorities::an_authority_that_may_not_certify_does_not,
        authorities::certificates_are_read_as_others_write_them,
        authorities::what_a_stranger_says_of_1970_is_a_strangers_word,
        authorities::limits_hold_where_nothing_else_is_wrong,
        authorities::a_maze_of_certificates_is_left_early,
    ];
    judged::assert_agrees_on(&tests, 600);
}
