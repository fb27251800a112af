//! Passwords: from a prompt or from stdin, never from an argument, which everybody on the machine can see.

use std::io::{self, BufRead, IsTerminal, Read, Write};

/// The longest password that is read, in bytes.
const MAX: u64 = 4096;

/// Ask on a terminal; otherwise the next line of stdin is it.
pub(crate) fn read(prompt: &str) -> io::Result<String> {
    let terminal = io::stdin().is_terminal();
    let _quiet = terminal.then(Quiet::new);
    if terminal {
        eprint!("{prompt}: ");
        io::stderr().flush()?;
    }
    let mut line = String::new();
    let read = io::stdin().lock().take(MAX).read_line(&mut line)?;
    if terminal {
        eprintln!();
    }
    // What follows a part of a password would be taken for something else.
    if read as u64 == MAX && !line.ends_with('\n') {
        let why = format!("the line for {prompt} has more than {MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let line = line.strip_suffix('\n').unwrap_or(&line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        let why = match (terminal, read) {
            (true, _) => format!("nothing was typed for {prompt}"),
            (false, 0) => format!("stdin is at its end: {prompt} has to be a line of it"),
            (false, _) => format!("stdin's line for {prompt} is empty"),
        };
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
    }
    Ok(line.to_owned())
}

/// What is typed isn't shown, as long as this is there.
#[derive(Debug)]
pub(crate) struct Quiet {
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

#[cfg(unix)]
impl Quiet {
    pub(crate) fn new() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &quiet);
        }
        Self { before }
    }
}

#[cfg(unix)]
impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, before);
        }
    }
}

#[cfg(not(unix))]
impl Quiet {
    pub(crate) fn new() -> Self {
        Self {}
    }
}
