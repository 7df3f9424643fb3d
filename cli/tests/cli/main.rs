//! The program as its users meet it: real processes, files, exit statuses.

mod bad_input;
mod commands;
mod difference;
mod help;
mod served;
mod workplace;
