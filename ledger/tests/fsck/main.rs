//! Every kind of damage is named by fsck, and what is damaged is made whole again from a mirror: what hashes right, and nothing else.
#![allow(clippy::unwrap_used)]

mod bench;
#[path = "../common/mod.rs"]
mod common;
mod damage;
mod pace;
mod restored;
