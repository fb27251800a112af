//! Values of options, understood alike by the programs.

use std::num::NonZeroU64;

use structopt::StructOpt;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What stands on the command line. Help and version are no errors, and go to stdout; what is wrong goes to stderr with 2,
/// as everywhere.
pub(crate) fn parse<T: StructOpt>() -> T {
    T::from_args_safe().unwrap_or_else(|e| {
        if e.use_stderr() {
            eprintln!("{}", e.message);
            std::process::exit(2);
        }
        println!("{}", e.message);
        std::process::exit(0)
    })
}

/// Log to stderr what `--log` names.
pub(crate) fn log(program: &str, wanted: &str) {
    match filter(wanted) {
        Ok(filter) => {
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
        }
        Err(e) => {
            eprintln!("{program}: --log {wanted}: {e}");
            std::process::exit(2);
        }
    }
}

/// A port's number.
pub(crate) fn port(word: &str) -> Result<u16, String> {
    word.parse().map_err(|_| "a port is a number from 0 to 65535".to_owned())
}

/// What is logged. A word alone is a level, or one of our targets: a mistyped level would otherwise be taken for a target
/// that nobody has, and nothing would be logged at all.
fn filter(text: &str) -> Result<EnvFilter, String> {
    let levels = "try error, warn, info, debug or trace";
    let is_known = |part: &str| {
        part.contains(['=', '['])
            || part.starts_with("chatnet")
            || part.parse::<LevelFilter>().is_ok()
            || part.is_empty()
    };
    if let Some(unknown) = text.split(',').map(str::trim).find(|part| !is_known(part)) {
        return Err(format!("{unknown} is no level; {levels}"));
    }
    EnvFilter::try_new(text).map_err(|e| format!("{e}; {levels}"))
}

/// A number that is not 0.
#[allow(dead_code, reason = "not every program has one")]
pub(crate) fn positive(word: &str) -> Result<NonZeroU64, String> {
    word.parse().map_err(|_| "it has to be a whole number, at least 1".to_owned())
}

/// How many of them, in words.
pub(crate) fn counted(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_an_error() {
        assert!(filter("nonsense").is_err_and(|why| why.contains("debug")));
        assert!(filter("info,nonsense").is_err());
        for good in ["info", "WARN", "off", "chatnet=debug,warn", "chatnet::server", "rustls=trace"] {
            assert!(filter(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn numbers_have_bounds() {
        assert_eq!(port("0"), Ok(0));
        assert!(port("99999").is_err_and(|why| why.contains("65535")));
        assert!(positive("0").is_err() && positive("-1").is_err() && positive("1").is_ok());
    }
}
