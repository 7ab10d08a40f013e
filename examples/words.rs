//! words [LEAST]: counts the words of standard input that have at least LEAST letters (default 1), as JSON in the
//! order of the alphabet. A LEAST that is no number goes to standard error with exit code 2.
use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::process::exit;

fn least() -> usize {
    match std::env::args().nth(1).map(|argument| argument.parse()) {
        None => 1,
        Some(Ok(least)) => least,
        Some(Err(_)) => {
            eprintln!("LEAST is a number of letters");
            exit(2)
        }
    }
}

fn main() -> io::Result<()> {
    let least = least();
    let mut counts = BTreeMap::<String, u32>::new();
    for line in io::stdin().lock().lines() {
        for word in line?.split(|c: char| !c.is_ascii_alphabetic()) {
            if !word.is_empty() && word.len() >= least {
                *counts.entry(word.to_ascii_lowercase()).or_default() += 1;
            }
        }
    }
    let mut out = io::stdout().lock();
    let mut before = '{';
    for (word, count) in &counts {
        write!(out, "{before}\"{word}\": {count}")?;
        before = ',';
    }
    writeln!(out, "}}")
}
