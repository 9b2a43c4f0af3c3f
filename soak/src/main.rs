//! The processes of scripts/soak: workers under a mixed load, and the audit of what became of it.
//!
//! `soak worker URL FOLDER NAME` serves until a signal, `soak load URL FOLDER` starts runs until there is a file `stop` in the folder,
//! `soak copy FROM TO` copies a SQLite database as it is now, and `soak audit URL FOLDER` compares the ledgers in the folder with the
//! database; it ends with 1 if something is wrong.

mod audit;
mod ledger;
mod load;
mod worker;
mod workflows;

use std::path::Path;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .init();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<_> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["copy", from, to] => {
            use sqlx::Connection;
            let mut connection = sqlx::SqliteConnection::connect(from).await?;
            sqlx::query("VACUUM INTO ?1").bind(to).execute(&mut connection).await?;
        }
        [what, url, folder, ref rest @ ..] => {
            ledger::set_folder(Path::new(folder));
            match (what, rest) {
                ("worker", [name]) => worker::serve(url, name).await?,
                ("load", []) => load::start_runs(url, Path::new(folder)).await?,
                ("audit", []) => {
                    let well = audit::check(url, Path::new(folder)).await?;
                    return Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
                }
                _ => return Err("run it by scripts/soak".into()),
            }
        }
        _ => return Err("run it by scripts/soak".into()),
    }
    Ok(ExitCode::SUCCESS)
}
