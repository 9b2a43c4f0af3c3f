//! The floor on PostgreSQL: two connections, each batch one statement in autocommit over `unnest`ed arrays.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, query, raw_sql};

use crate::Result;
use crate::floor::{Batch, Floor, Writer};

const WRITERS: usize = 2;

const TABLES: &str = "
    DROP SCHEMA IF EXISTS forge_wf_floor CASCADE;
    CREATE SCHEMA forge_wf_floor;
    CREATE TABLE forge_wf_floor.run (id uuid PRIMARY KEY, state smallint NOT NULL, input text NOT NULL, output text);
    CREATE TABLE forge_wf_floor.step (run uuid, n int, output text NOT NULL, PRIMARY KEY (run, n));
    CREATE TABLE forge_wf_floor.single (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, value text NOT NULL);
";

const WRITE: &str = "
    WITH started AS (
        INSERT INTO forge_wf_floor.run (id, state, input)
        SELECT unnest($1::uuid[]), 0, unnest($2::text[])
    ), recorded AS (
        INSERT INTO forge_wf_floor.step (run, n, output)
        SELECT unnest($3::uuid[]), unnest($4::int[]), unnest($5::text[])
    )
    UPDATE forge_wf_floor.run SET state = 1, output = ended.output
    FROM (SELECT unnest($6::uuid[]) AS id, unnest($7::text[]) AS output) AS ended WHERE run.id = ended.id
";

struct PostgresWriter(PgConnection);

impl Writer for PostgresWriter {
    async fn write(&mut self, batch: &Batch) -> Result<()> {
        query(WRITE)
            .bind(&batch.started)
            .bind(&batch.inputs)
            .bind(&batch.recorded)
            .bind(&batch.numbers)
            .bind(&batch.outputs)
            .bind(&batch.ended)
            .bind(&batch.results)
            .execute(&mut self.0)
            .await?;
        Ok(())
    }
}

fn options(url: &str) -> Result<PgConnectOptions> {
    // The table is small when the statement is planned and large soon after: no plan but one by index stays good.
    let by_index =
        ["jit", "enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_bitmapscan"].map(|it| (it, "off"));
    Ok(url.parse::<PgConnectOptions>()?.options(by_index).disable_statement_logging())
}

/// Empty tables and two writers.
pub async fn open(url: &str) -> Result<Floor> {
    let options = options(url)?;
    raw_sql(TABLES).execute(&mut options.connect().await?).await?;
    let mut writers = Vec::with_capacity(WRITERS);
    for _ in 0..WRITERS {
        writers.push(PostgresWriter(options.connect().await?));
    }
    Ok(Floor::new(writers))
}

/// A connection that commits single rows.
pub struct Single(PgConnection);

impl Single {
    pub async fn open(url: &str) -> Result<Self> {
        Ok(Self(options(url)?.connect().await?))
    }

    pub async fn insert(&mut self) -> Result<()> {
        query("INSERT INTO forge_wf_floor.single (value) VALUES ($1)")
            .bind(crate::output(0))
            .execute(&mut self.0)
            .await?;
        Ok(())
    }
}
