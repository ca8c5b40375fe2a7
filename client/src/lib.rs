//! Speaks to the appliance: HTTP/1.1 over TLS 1.3 with a client certificate, whose key may be anywhere a `Signer` is. Receipts are verified
//! before a caller sees them.
//!
//! It decides nothing: no retries, no policy.

pub mod appliance;
mod body;
mod connection;
pub mod issuer;
pub mod receipts;
pub mod stated;
mod tiles;
pub mod tls;
pub mod web;

pub use appliance::{Appliance, ClientError, Receipt, open_record};
pub use exhibit_program::tls::crypto_provider;
pub use issuer::{Issuer, IssuerError, is_of_the_statement};
pub use receipts::{EndedLog, Receipts};
pub use tls::{ClientIdentity, anonymous_config, client_config, config_trusting, trusted};
pub use web::{Web, WebError};
