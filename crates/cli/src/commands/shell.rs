//! `pgark completions` and `pgark man`: both are made from the arguments' own help.

use std::fs;
use std::io;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{Args, Completions, Man};
use crate::error::Failure;

/// Completions for a shell, on standard output.
pub fn completions(args: Completions) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "pgark", &mut text);
    io::Write::write_all(&mut io::stdout().lock(), &text).map_err(Failure::output)?;
    Ok(ExitCode::SUCCESS)
}

/// A page for the program and one for each command.
pub fn man(args: Man) -> Result<ExitCode, Failure> {
    fs::create_dir_all(&args.output)
        .and_then(|()| clap_mangen::generate_to(Args::command(), &args.output))
        .map_err(|source| Failure::file(format!("write the man pages to {}", args.output.display()), source))?;
    Ok(ExitCode::SUCCESS)
}
