//! What is measured, in which order, and the rows it gives.

use std::time::Duration;

use crate::cost::{DatabaseCost, Meter};
use crate::engine::Engine;
use crate::floor::Floor;
use crate::measure::{complete, median, quantile, throughput, time};
use crate::report::Report;
use crate::waits::Waits;
use crate::{Args, Phase, Result, floor_file, floor_postgres, floor_sqlite, is_postgres, measure};

/// The database under test and how long to test it.
pub struct Phases<'a> {
    args: &'a Args,
    url: &'a str,
    floor: Floor,
}

impl<'a> Phases<'a> {
    pub async fn new(args: &'a Args, url: &'a str) -> Result<Self> {
        let floor = match is_postgres(url) {
            true => floor_postgres::open(url).await?,
            false => floor_sqlite::open(&floor_file(url)).await?,
        };
        Ok(Self { args, url, floor })
    }

    pub async fn measure(&self, report: &mut Report) -> Result<()> {
        if self.args.wants(Phase::Memory) {
            self.memory(report).await?;
        }
        let engine = Engine::open(self.url).await?;
        if self.args.wants(Phase::W1) {
            self.throughput(report, &engine, 3, 64).await?;
            self.throughput(report, &engine, 3, 256).await?;
        }
        if self.args.wants(Phase::W3) {
            self.throughput(report, &engine, 10, 64).await?;
        }
        if self.args.wants(Phase::W2) {
            self.latency(report, &engine).await?;
        }
        if self.args.wants(Phase::Cost) {
            self.cost(report, &engine).await?;
        }
        engine.close().await;
        self.waits(report).await
    }

    async fn waits(&self, report: &mut Report) -> Result<()> {
        let waits = Waits { url: self.url, quick: self.args.quick };
        if self.args.wants(Phase::W4) {
            waits.w4(report).await?;
        }
        if self.args.wants(Phase::Timers) {
            waits.timers(report).await?;
        }
        if self.args.wants(Phase::Events) {
            waits.events(report).await?;
        }
        if self.args.wants(Phase::Cancels) {
            waits.cancels(report).await?;
        }
        if self.args.wants(Phase::Chatty) {
            waits.chatty(report).await?;
        }
        if self.args.wants(Phase::Sleepers) {
            waits.sleepers(report).await?;
        }
        Ok(())
    }

    /// Floor and engine in turn, so that whatever else the machine does meets both.
    async fn throughput(&self, report: &mut Report, engine: &Engine, steps: usize, in_flight: usize) -> Result<()> {
        let (mut ours, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..self.args.rounds.max(1) {
            let floor = self.floor.clone();
            let by_hand = move || {
                let floor = floor.clone();
                async move { floor.run(steps).await }
            };
            floors.push(match self.args.without_floor {
                true => f64::NAN,
                false => throughput(in_flight, self.args.length(), by_hand).await?,
            });
            let engine = engine.clone();
            let by_engine = move || {
                let engine = engine.clone();
                async move { engine.run(steps).await }
            };
            ours.push(throughput(in_flight, self.args.length(), by_engine).await?);
        }
        let ratios: Vec<_> = ours.iter().zip(&floors).map(|(ours, floor)| ours / floor).collect();
        let name = if steps == 3 { "W1" } else { "W3" };
        report.row(
            &format!("{name} {steps}-step runs/s, {in_flight} in flight"),
            format!("{:.0}", median(&ours)),
            format!("{:.0}", median(&floors)),
            format!("{:.2}", median(&ratios)),
            ratios.iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(" "),
        );
        Ok(())
    }

    /// One run at a time, ours, the floor's and a single insert in turn.
    async fn latency(&self, report: &mut Report, engine: &Engine) -> Result<()> {
        let rounds = if self.args.quick { 300 } else { 1000 };
        let (mut ours, mut floors, mut inserts) = (Vec::new(), Vec::new(), Vec::new());
        let mut single = match is_postgres(self.url) {
            true => Single::Postgres(floor_postgres::Single::open(self.url).await?),
            false => Single::Sqlite(floor_sqlite::Single::open(&floor_file(self.url)).await?),
        };
        for round in 0..rounds + rounds / 10 {
            let measured = (time(engine.run(1)).await?, time(self.floor.run(1)).await?, time(single.insert()).await?);
            // The first tenth warms caches.
            if round >= rounds / 10 {
                ours.push(measured.0);
                floors.push(measured.1);
                inserts.push(measured.2);
            }
        }
        for (name, at) in [("p50", 0.5), ("p99", 0.99)] {
            let (ours, floor) = (quantile(&ours, at), quantile(&floors, at));
            report.row(
                &format!("W2 1-step run, start to result, {name}"),
                micros(ours),
                micros(floor),
                format!("{:.2}", ours.as_secs_f64() / floor.as_secs_f64()),
                String::new(),
            );
        }
        report.row("one committed insert, p50", String::new(), micros(median(&inserts)), String::new(), String::new());
        Ok(())
    }

    async fn cost(&self, report: &mut Report, engine: &Engine) -> Result<()> {
        let runs = if self.args.quick { 10_000 } else { 50_000 };
        let engine = engine.clone();
        let ours = self.cost_of(runs, move || {
            let engine = engine.clone();
            async move { engine.run(3).await }
        });
        let ours = ours.await?;
        let floor = self.floor.clone();
        let floor = self.cost_of(runs, move || {
            let floor = floor.clone();
            async move { floor.run(3).await }
        });
        let floor = floor.await?;
        let mut row = |what: &str, ours: f64, floor: f64, digits: usize| {
            let (each, each_floor) = (ours / runs as f64, floor / runs as f64);
            let ratio = format!("{:.2}", ours / floor);
            report.row(what, format!("{each:.digits$}"), format!("{each_floor:.digits$}"), ratio, String::new());
        };
        if let (Some(ours), Some(floor)) = (ours.cpu, floor.cpu) {
            row("µs of this process's CPU per 3-step run", ours.as_micros() as f64, floor.as_micros() as f64, 0);
        }
        if let (Some(ours), Some(floor)) = (ours.database, floor.database) {
            if let (Some(ours), Some(floor)) = (ours.cpu, floor.cpu) {
                row("µs of the server's CPU per 3-step run", ours.as_micros() as f64, floor.as_micros() as f64, 0);
            }
            let mut row = |what, ours: i64, floor: i64, digits| row(what, ours as f64, floor as f64, digits);
            row("commits per 3-step run (xact_commit)", ours.commits, floor.commits, 3);
            row("writing transactions per 3-step run", ours.writing_transactions, floor.writing_transactions, 3);
            row("WAL bytes per 3-step run", ours.wal_bytes, floor.wal_bytes, 0);
            report.note(format!(
                "Commits and WAL of {runs} runs at 64 in flight, read 2 s after the last. WAL: {}. Statistics lag up to \
                 a second behind, transaction ids do not.",
                ours.wal_note
            ));
        }
        Ok(())
    }

    /// What this many runs of 3 steps cost at 64 in flight.
    async fn cost_of<J, F>(&self, runs: u64, run: J) -> Result<Cost>
    where
        J: Fn() -> F + Clone + Send + 'static,
        F: Future<Output = Result<()>> + Send,
    {
        let meter = if is_postgres(self.url) { Some(Meter::start(self.url).await?) } else { None };
        let before = measure::cpu_time(std::process::id());
        complete(runs, 64, run).await?;
        let cpu = measure::cpu_time(std::process::id()).zip(before).map(|(after, before)| after - before);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let database = match meter {
            Some(meter) => Some(meter.stop().await?),
            None => None,
        };
        Ok(Cost { cpu, database })
    }

    async fn memory(&self, report: &mut Report) -> Result<()> {
        let engine = Engine::open_with_room(self.url, 20_000).await?;
        // What the first runs need stays, and is not theirs.
        complete(200, 64, {
            let engine = engine.clone();
            move || {
                let engine = engine.clone();
                async move { engine.run(3).await }
            }
        })
        .await?;
        let Some(before) = measure::resident_bytes() else {
            report.note("No /proc here, so resident memory is not known.".into());
            return engine.close_after(Vec::new()).await;
        };
        let mut held = Vec::new();
        for count in [1_000, 10_000] {
            engine.hold(&mut held, count).await?;
            let grown = measure::resident_bytes().unwrap_or(before).saturating_sub(before);
            report.row(
                &format!("resident memory, {count} runs in flight"),
                format!("{:.1} MiB", grown as f64 / (1 << 20) as f64),
                String::new(),
                String::new(),
                format!("{:.1} KiB each", grown as f64 / 1024.0 / count as f64),
            );
        }
        engine.close_after(held).await
    }
}

struct Cost {
    cpu: Option<Duration>,
    database: Option<DatabaseCost>,
}

enum Single {
    Postgres(floor_postgres::Single),
    Sqlite(floor_sqlite::Single),
}

impl Single {
    async fn insert(&mut self) -> Result<()> {
        match self {
            Self::Postgres(single) => single.insert().await,
            Self::Sqlite(single) => single.insert().await,
        }
    }
}

fn micros(time: Duration) -> String {
    format!("{} µs", time.as_micros())
}
