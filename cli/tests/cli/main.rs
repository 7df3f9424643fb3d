//! The program as its users meet it: real processes, files, exit statuses.

mod bad_input;
mod boxes;
mod browser;
mod commands;
mod difference;
mod float;
mod help;
mod integers;
mod kills;
mod mutations;
mod outputs;
mod preprocess;
mod readme;
mod report;
mod served;
mod setup;
mod signals;
mod small;
mod stream;
mod trace;
mod train;
mod workplace;
