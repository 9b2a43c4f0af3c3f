//! The build script of the crates whose tests need a PostgreSQL: with FORGE_WF_SKIP_POSTGRES=1 these tests are ignored, and each is
//! listed as such. So are those that need a PgBouncer where none is found on the PATH or in /usr/sbin. No published crate has it.

fn main() {
    const VARIABLE: &str = "FORGE_WF_SKIP_POSTGRES";
    println!("cargo::rerun-if-changed=../scripts/skip_postgres.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    println!("cargo::rustc-check-cfg=cfg(skip_postgres)");
    if std::env::var(VARIABLE).is_ok_and(|value| value == "1") {
        println!("cargo::rustc-cfg=skip_postgres");
    }
    println!("cargo::rerun-if-env-changed=PATH");
    println!("cargo::rustc-check-cfg=cfg(skip_pgbouncer)");
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).chain(["/usr/sbin".into()]).any(|folder| folder.join("pgbouncer").is_file()) {
        println!("cargo::warning=no pgbouncer found, so the tests behind it are ignored");
        println!("cargo::rustc-cfg=skip_pgbouncer");
    }
}
