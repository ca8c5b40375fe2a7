//! The limits in numbers, as docs/formats/ has them: a test that is written with a constant's name goes along with whatever the constant says.

use exhibit_tlog::mirror::{MIRROR_INFO_SIZE_BYTES_MAX, PACKAGE_SIZE_BYTES_MAX, UPLOAD_HEADER_SIZE_BYTES_MAX};
use exhibit_tlog::policy::POLICY_SIZE_BYTES_MAX;
use exhibit_tlog::witness::ADD_CHECKPOINT_SIZE_BYTES_MAX;

#[test]
fn requests_to_witnesses_and_mirrors() {
    assert_eq!(ADD_CHECKPOINT_SIZE_BYTES_MAX, 118_784);
    assert_eq!(POLICY_SIZE_BYTES_MAX, 524_288);
    assert_eq!(UPLOAD_HEADER_SIZE_BYTES_MAX, 131_090);
    assert_eq!(PACKAGE_SIZE_BYTES_MAX, 16_779_489, "256 entries of 65,535 bytes, and 63 hashes");
    assert_eq!(MIRROR_INFO_SIZE_BYTES_MAX, 87_423);
}
