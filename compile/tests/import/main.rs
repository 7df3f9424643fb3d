//! The importer, on models built here: what each operator becomes, and what each refusal says.

mod becomes;
mod chain;
mod refuses;
