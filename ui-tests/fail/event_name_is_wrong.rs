use forge_wf::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "")]
struct Empty;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "approved\n")]
struct TwoLines;

#[derive(Serialize, Deserialize, Event)]
#[event(
    name = "approved-approved-approved-approved-approved-approved-approved-approved-approved-approved-approved-approved-approved-approved-approved-approved-approved-approved-approved-approved-approved-approved-"
)]
struct Long;

#[derive(Serialize, Deserialize, Event)]
#[event(name = approved)]
struct NoText;

#[derive(Serialize, Deserialize, Event)]
#[event(nmae = "approved")]
struct Misspelt;

#[derive(Serialize, Deserialize, Event)]
#[event = "approved"]
struct NoList;

#[derive(Serialize, Deserialize, Event)]
struct __;

#[derive(Serialize, Deserialize, Event)]
enum OnAVariant {
    #[event(name = "approved")]
    Approved,
}

fn main() {}
