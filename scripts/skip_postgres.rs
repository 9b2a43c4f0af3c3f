//! The build script of the crates whose tests need a PostgreSQL: with FORGE_WF_SKIP_POSTGRES=1 these tests are ignored, and each is
//! listed as such. No published crate has it.

fn main() {
    const VARIABLE: &str = "FORGE_WF_SKIP_POSTGRES";
    println!("cargo::rerun-if-changed=../scripts/skip_postgres.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    println!("cargo::rustc-check-cfg=cfg(skip_postgres)");
    if std::env::var(VARIABLE).is_ok_and(|value| value == "1") {
        println!("cargo::rustc-cfg=skip_postgres");
    }
}
