//! What is run, and how its figures are printed.
#![allow(unreachable_pub)] // each bench has it as a module of its own

use super::Result;

/// The command line, behind `cargo bench --bench NAME --`.
#[derive(Debug)]
pub struct Args {
    /// Short runs that only show that it works; also what `cargo test --benches` does.
    pub quick: bool,
    pub runs: usize,
    filters: Vec<String>,
}

impl Args {
    pub fn parse() -> Result<Self> {
        let env = std::env::var_os("CHATNET_BENCH_QUICK").is_some();
        let (mut quick, mut cargo_bench, mut runs, mut filters) = (env, false, None, Vec::new());
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--bench" => cargo_bench = true,
                "--quick" => quick = true,
                "--runs" => runs = Some(args.next().ok_or("--runs takes a number")?.parse()?),
                flag if flag.starts_with('-') => {
                    return Err(format!("{flag} is not known; there are --quick, --runs N and names of works").into());
                }
                name => filters.push(name.to_owned()),
            }
        }
        quick |= !cargo_bench;
        Ok(Self { quick, runs: runs.unwrap_or(if quick { 1 } else { 5 }), filters })
    }

    /// Whether a work's name was asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter.as_str()))
    }
}

/// A column: its heading, and how many decimals its figures have.
pub type Column = (&'static str, usize);

/// The figures of several works, each measured several times.
#[derive(Debug)]
pub struct Table {
    columns: &'static [Column],
    rows: Vec<(String, Vec<Vec<f64>>)>,
}

impl Table {
    pub fn new(columns: &'static [Column]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Note one run's figures, one a column.
    pub fn add(&mut self, work: &str, figures: &[f64]) {
        eprintln!("{work}: {}", self.line(figures.iter().copied().map(|figure| (figure, None))));
        match self.rows.iter_mut().find(|(name, _)| name == work) {
            Some((_, runs)) => runs.push(figures.to_vec()),
            None => self.rows.push((work.to_owned(), vec![figures.to_vec()])),
        }
    }

    fn line(&self, figures: impl Iterator<Item = (f64, Option<(f64, f64)>)>) -> String {
        let cells = self.columns.iter().zip(figures).map(|((_, decimals), (figure, range))| match range {
            Some((least, most)) if least < most => {
                format!("{} ({}–{})", number(figure, *decimals), number(least, *decimals), number(most, *decimals))
            }
            _ => number(figure, *decimals),
        });
        cells.collect::<Vec<_>>().join(" | ")
    }

    /// Medians, and in brackets the least and the most.
    pub fn print(&self) {
        let headings: Vec<_> = self.columns.iter().map(|(heading, _)| *heading).collect();
        println!("\n| work | {} |", headings.join(" | "));
        println!("|---{}|", "|---".repeat(headings.len()));
        for (work, runs) in &self.rows {
            let figures = (0..self.columns.len()).map(|i| {
                let mut column: Vec<f64> = runs.iter().map(|run| run[i]).collect();
                column.sort_unstable_by(f64::total_cmp);
                (column[column.len() / 2], Some((column[0], column[column.len() - 1])))
            });
            println!("| {work} | {} |", self.line(figures));
        }
    }
}

fn number(n: f64, decimals: usize) -> String {
    match n {
        1e6.. => format!("{:.2}M", n / 1e6),
        1e4.. => format!("{:.0}k", n / 1e3),
        _ => format!("{n:.decimals$}"),
    }
}
