use forge_wf::prelude::*;

#[derive(Serialize, Deserialize)]
pub struct Order {
    id: String,
}

#[step]
#[allow(clippy::too_many_arguments)]
pub async fn every_shape(
    text: &str,
    order: &Order,
    orders: &[Order],
    maybe_text: Option<&str>,
    maybe_order: Option<&Order>,
    maybe_orders: Option<&[Order]>,
    owned: Order,
    mut number: u32,
    tuple: (u8, String),
) -> Result<String> {
    number += 1;
    let maybe = maybe_order.map(|order| order.id.as_str()).or(maybe_text).unwrap_or(text);
    Ok(format!("{maybe}{}{}{}{number}{}", order.id, orders.len(), maybe_orders.map_or(0, <[_]>::len), tuple.1) + &owned.id)
}

#[workflow]
pub async fn checkout(ctx: &WorkflowContext, order: Order) -> Result<String> {
    let orders = vec![Order { id: order.id.clone() }];
    let text = String::from("text");
    let owned = Order { id: order.id.clone() };
    every_shape(ctx, &text, &order, &orders, None, Some(&order), Some(&orders[..]), owned, 1, (1, "x".into())).await
}

fn main() {}
