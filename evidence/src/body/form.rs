//! What every type of body has: a name, an issuer, attachments that it must have, a reader and a writer.
//!
//! It does not know which types there are: `body.rs` lists them.

use exhibit_pki::Role;

use super::{AttachmentRef, Body};
use crate::{
    Statement,
    json::{JsonError, Object, ObjectWriter, quoted},
};

/// The body of one type of statement.
pub(crate) trait BodyForm: Sized {
    /// The `type` member.
    const TYPE: &'static str;
    /// Whose streams it stands in, and who may issue it.
    const ISSUER: Issuer;
    /// What it must have beside the ledger, and in which form.
    const ATTACHMENTS: &'static [Demand] = &[];

    /// Reads exactly its members, `attachments` among them.
    fn read(object: &mut Object) -> Result<Self, JsonError>;
    /// Writes its members in the order of docs/formats/statement.md, all but `attachments`.
    fn write(&self, members: ObjectWriter) -> ObjectWriter;
    /// What lies beside the ledger.
    fn attachments(&self) -> &[AttachmentRef];
    /// What no member says alone: the body against its attachments and the statement around it.
    fn check(&self, _statement: &Statement) -> Result<(), JsonError> {
        Ok(())
    }
}

/// Who issues a type of statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Issuer {
    /// The kind of the streams that it stands in.
    pub(crate) kind: &'static str,
    /// The series that it stands in and that nothing else stands in, such as `events` of `camera/102/events/<epoch>`.
    pub(crate) series: Option<&'static str>,
    /// The roles of which one is needed.
    pub(crate) roles: &'static [Role],
}

impl Issuer {
    pub(crate) const CAMERA: Self = Self { kind: "camera", series: None, roles: &[Role::Camera] };
    pub(crate) const CUSTODIAN: Self = Self { kind: "user", series: None, roles: &[Role::Custodian] };
    /// Whoever may see evidence.
    pub(crate) const VIEWER: Self = Self { kind: "user", series: None, roles: &[Role::Custodian, Role::Investigator] };
    pub(crate) const PERSON: Self =
        Self { kind: "user", series: None, roles: &[Role::Custodian, Role::Investigator, Role::Auditor, Role::Admin] };
    pub(crate) const AUTHORITY: Self = Self { kind: "authority", series: None, roles: &[Role::Authority] };
    pub(crate) const APPLIANCE: Self = Self { kind: "appliance", series: None, roles: &[Role::Appliance] };

    /// The same issuer, in a series of its own.
    pub(crate) const fn in_series(self, series: &'static str) -> Self {
        Self { series: Some(series), ..self }
    }
}

/// What a type demands of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Its name; of those that are numbered, what stands before the number.
    pub(crate) name: &'static str,
    /// It must be erasable, or it must not.
    pub(crate) erasable: bool,
    /// How many there are.
    pub(crate) presence: Presence,
}

/// How many there are of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// One.
    Must,
    /// One or none.
    May,
    /// Any number, each with its number from 0 at the end of the name.
    Numbered,
}

impl Demand {
    /// What tells of people or opens evidence: it must be there, and must be erasable.
    pub(crate) const fn erasable(name: &'static str) -> Self {
        Self { name, erasable: true, presence: Presence::Must }
    }
    /// What proves something: it must be there, and must not be erasable.
    pub(crate) const fn kept(name: &'static str) -> Self {
        Self { name, erasable: false, presence: Presence::Must }
    }
    /// The same, and it may be missing.
    pub(crate) const fn or_none(self) -> Self {
        Self { presence: Presence::May, ..self }
    }
    /// The same, as often as one likes.
    pub(crate) const fn numbered(self) -> Self {
        Self { presence: Presence::Numbered, ..self }
    }

    fn check(&self, body: &Body) -> Result<(), JsonError> {
        if self.presence == Presence::Numbered {
            return self.check_numbered(body);
        }
        match body.attachment(self.name) {
            Some(found) => self.check_form(found),
            None if self.presence == Presence::Must => Err(lacks(self.name)),
            None => Ok(()),
        }
    }
    fn check_numbered(&self, body: &Body) -> Result<(), JsonError> {
        let count = body.attachments().iter().filter(|attachment| attachment.name.starts_with(self.name)).count();
        for number in 0..count {
            let name = format!("{}{number}", self.name);
            self.check_form(body.attachment(&name).ok_or_else(|| lacks(&name))?)?;
        }
        Ok(())
    }
    fn check_form(&self, found: &AttachmentRef) -> Result<(), JsonError> {
        if found.erasable == self.erasable {
            return Ok(());
        }
        let form = if self.erasable { "must" } else { "must not" };
        Err(JsonError(format!("body.attachments has {}, which {form} be erasable", quoted(&found.name))))
    }
}

/// The error about an attachment that is missing.
pub(crate) fn lacks(name: &str) -> JsonError {
    JsonError(format!("body.attachments lacks {}", quoted(name)))
}

/// Why somebody does something tells of people, whatever the type.
const PURPOSE: Demand = Demand::erasable("purpose").or_none();

/// Checks what a type demands of its attachments: certificates and signed statements are never erased, what tells of people always may be.
pub(crate) fn check_attachments(body: &Body, demands: &[Demand]) -> Result<(), JsonError> {
    demands.iter().chain([&PURPOSE]).try_for_each(|demand| demand.check(body))
}

/// Defines an enumeration whose meanings are words in the JSON.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$meaning_doc:meta])* $meaning:ident = $word:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$meaning_doc])* $meaning,)+
        }

        impl $name {
            /// Every word, with its meaning.
            pub const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$meaning)),+];

            /// The word in the JSON.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$meaning => $word,)+
                }
            }
        }
    )+};
}
pub(crate) use words;
