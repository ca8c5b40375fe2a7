//! TPM attestation: what a software TPM once said (`pki/tests/vectors/attestation/`, recorded by `pki/tpm/tests/attestation.rs`) is
//! believed, and every alteration of it is refused with the error for its defect.
#![allow(clippy::unwrap_used)]

mod certificate;
mod golden;
mod keys;
mod properties;
mod statements;
mod suites;
mod support;

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: &[fn()] = &[
        certificate::padding_is_cut_off,
        certificate::what_is_not_a_certificate_with_its_padding,
        certificate::the_key_is_found_in_odd_certificates,
        certificate::rsa_keys_are_compared_by_their_numbers,
        certificate::keys_that_no_endorsement_key_has,
        certificate::no_challenge_is_made_for_a_point_off_the_curve,
        golden::a_certified_key_is_the_one_that_was_asked_about,
        #[cfg(feature = "aws-lc")]
        golden::the_fast_verifier_believes_the_same,
        golden::a_quote_over_the_expected_values_is_believed,
        golden::two_readings_of_the_clock_tell_the_time_between_them,
        golden::attestations_are_read_field_by_field,
        golden::public_areas_are_read_field_by_field,
        golden::short_coordinates_are_padded_and_named_as_they_came,
        golden::signatures_become_der_without_leading_zeros_and_with_a_sign,
        golden::a_high_s_is_believed_in_attestations,
        golden::the_qualifying_data_is_the_hash_of_nonce_and_context,
        golden::endorsement_keys_are_those_of_their_certificates,
        golden::the_attestation_key_is_named_by_its_place,
        golden::a_challenge_is_made_the_same_again,
        golden::a_tpm2b_holds_exactly_what_it_says,
        keys::public_areas_that_are_not_understood,
        keys::each_attribute_is_known,
        keys::attestation_keys_with_a_defect,
        keys::endorsement_keys_with_a_defect,
        keys::an_endorsement_key_that_is_not_its_certificates,
        suites::a_tpm_without_p384_is_believed,
        suites::keys_of_no_suite_do_not_attest,
        suites::endorsement_keys_of_no_suite,
        suites::what_a_key_on_p256_signs_is_hashed_with_sha256,
        statements::what_every_attestation_must_have,
        statements::one_kind_is_not_taken_for_another,
        statements::certifications_with_a_defect,
        statements::certified_keys_with_a_defect,
        statements::quotes_with_a_defect,
        statements::values_that_can_not_be_a_registers,
        statements::an_altered_recording_is_not_believed,
        statements::signatures_with_a_defect,
        statements::clock_readings_with_a_defect,
    ];
    support::assert_agrees_on(tests, 900);
}
