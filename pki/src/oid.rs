//! Object identifiers of this project and those of standards that const-oid's database lacks. See docs/formats/oids.md.

use const_oid::ObjectIdentifier;

/// The eContentType of a statement: `2.25.1586047359.1.1`.
pub const STATEMENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.25.1586047359.1.1");
/// The policy of our timestamping authorities: the accuracy is stated, the clock is the operator's.
pub const TIMESTAMP_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.25.1586047359.3.1");
/// The arc under which roles are certificate policies: `.1` camera, `.2` custodian, `.3` investigator, `.4` auditor, `.5` admin,
/// `.6` appliance, `.7` authority.
pub const ROLES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.25.1586047359.2");
