use forge_wf::prelude::*;

#[derive(Serialize, Deserialize)]
struct TestResult;

#[step]
async fn charge() -> TestResult {
    TestResult
}

fn main() {}
