//! Results on standard output, as text that is whole before any of it is printed.

use crate::failure::Failure;

/// Prints a result. That a reader has seen enough (`| head`) is no failure; that it can not be written is.
pub fn tell(text: &str) -> Result<(), Failure> {
    exhibit_program::print(text).map_err(|error| Failure::Cannot(format!("the result can not be written: {error}")))
}
