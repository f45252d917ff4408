//! `marquee ask`: an answer of a router, with titles and reasons, for users who look at what callers get.
//!
//! Each question is one call of `RecommenderService`, as a caller would make it. [`table`] makes lines of the answer.

mod table;

use crate::credentials::CredentialArgs;
use crate::message;
use crate::output;
use clap::{Args, Subcommand};
use marquee_client::{Address, Connection, channel, innermost_reason, status_in_words};
use marquee_core::bounds::{DEFAULT_COUNT, MAX_COUNT, MAX_MESSAGE_BYTES};
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use marquee_proto::v1::{
    RecommendRequest, RecommendResponse, SearchItemsRequest, SearchItemsResponse,
    SimilarItemsRequest, SimilarItemsResponse,
};
use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;
pub(super) use table::because;
use table::{Shown, lines_of_answer};
use tonic::{Request, Status};

/// Deadline of the call: a person waits.
const DEADLINE: Duration = Duration::from_secs(10);

/// `marquee ask …`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee ask user u1
  marquee ask user newcomer --attribute age=34 --attribute region=north
  marquee ask user newcomer --recent f3 --recent f27
  marquee ask similar f3 --count 5
  marquee ask search \"western harbour\" --surface search
  marquee ask user u1 --endpoint http://10.0.0.5:50051 --json")]
pub struct AskArgs {
    /// A router's address
    #[arg(
        long,
        global = true,
        env = "MARQUEE_ENDPOINT",
        value_name = "URL",
        default_value = "http://127.0.0.1:50051"
    )]
    endpoint: Address,
    /// The surface to ask
    #[arg(long, global = true, default_value = "", hide_default_value = true, value_name = "NAME")]
    surface: String,
    /// How many items to list
    #[arg(
        long,
        global = true,
        default_value_t = DEFAULT_COUNT,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_COUNT))
    )]
    count: u32,
    /// Print the whole answer as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    credentials: CredentialArgs,
    #[command(subcommand)]
    question: Question,
}

#[derive(Subcommand, Debug)]
enum Question {
    /// What a user is recommended, and because of which items
    #[command(after_help = "Examples:
  marquee ask user u1
  marquee ask user newcomer --attribute age=34
  marquee ask user newcomer --recent f3 --recent f27")]
    User {
        /// The user's id
        user_id: String,
        /// An attribute of the user, for those without a history; repeat it for more
        #[arg(long, value_name = "NAME=VALUE", value_parser = attribute)]
        attribute: Vec<(String, String)>,
        /// An item that the user has just seen, newest last; repeat it for more
        #[arg(long, value_name = "ITEM")]
        recent: Vec<String>,
    },
    /// Which items go with an item
    #[command(after_help = "Example:
  marquee ask similar f3 --count 5")]
    Similar {
        /// The item's id
        item_id: String,
    },
    /// Which items a text is about
    #[command(after_help = "Example:
  marquee ask search \"western harbour\" --surface search")]
    Search {
        /// The text to search by, at most 1,024 bytes
        text: String,
    },
}

fn attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE, such as age=34".into()),
    }
}

/// Asks and prints the answer.
pub async fn run(args: AskArgs) -> anyhow::Result<ExitCode> {
    let AskArgs { endpoint, surface, count, json, credentials, question } = args;
    let credentials = credentials.read(std::slice::from_ref(&endpoint))?;
    let mut client = RecommenderServiceClient::new(channel(&endpoint, &credentials))
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let asked = ask(&mut client, question, surface, count).await;
    let (answer, whole) = asked.map_err(|status| failure(&endpoint, &status))?;
    if json {
        output::json(&whole)?;
    } else {
        output::line(lines_of_answer(&answer))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the call. Returns what a table shows of the answer, and the whole of it.
async fn ask(
    client: &mut RecommenderServiceClient<Connection>,
    question: Question,
    surface: String,
    count: u32,
) -> Result<(Shown, serde_json::Value), Status> {
    match question {
        Question::User { user_id, attribute, recent } => {
            let user_attributes: HashMap<String, String> = attribute.into_iter().collect();
            let request = RecommendRequest {
                user_id,
                count,
                surface,
                recent_item_ids: recent,
                user_attributes,
                explain: true,
                ..RecommendRequest::default()
            };
            let answer = client.recommend(in_time(request)).await?.into_inner();
            let whole = message::to_json("marquee.v1.RecommendResponse", &answer);
            let reason = answer.fallback_reason();
            let RecommendResponse { items, served_by, coverage, .. } = answer;
            Ok((
                Shown {
                    items,
                    served_by,
                    coverage,
                    fallback: Some(reason),
                    has_unknown_words: false,
                },
                whole,
            ))
        }
        Question::Similar { item_id } => {
            let request = SimilarItemsRequest { item_id, count, surface, filter: None };
            let answer = client.similar_items(in_time(request)).await?.into_inner();
            let whole = message::to_json("marquee.v1.SimilarItemsResponse", &answer);
            let SimilarItemsResponse { items, served_by, coverage, .. } = answer;
            Ok((
                Shown { items, served_by, coverage, fallback: None, has_unknown_words: false },
                whole,
            ))
        }
        Question::Search { text } => {
            let request = SearchItemsRequest { text, count, surface, filter: None };
            let answer = client.search_items(in_time(request)).await?.into_inner();
            let whole = message::to_json("marquee.v1.SearchItemsResponse", &answer);
            let SearchItemsResponse { items, served_by, coverage, reason, .. } = answer;
            Ok((
                Shown {
                    items,
                    served_by,
                    coverage,
                    fallback: None,
                    has_unknown_words: reason != 0,
                },
                whole,
            ))
        }
    }
}

fn in_time<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request
}

/// Why there is no answer, with what to do where nobody listens.
fn failure(endpoint: &Address, status: &Status) -> anyhow::Error {
    match std::error::Error::source(status) {
        Some(source) => anyhow::anyhow!(
            "no node answers at {endpoint} ({}): start one with `marquee serve`, or name another with --endpoint",
            innermost_reason(source)
        ),
        None => anyhow::anyhow!(status_in_words(status)).context(format!("{endpoint} refused")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_names_with_values() {
        assert_eq!(attribute("age=34"), Ok(("age".into(), "34".into())));
        assert_eq!(attribute("about=a=b"), Ok(("about".into(), "a=b".into())));
        assert!(attribute("age").is_err() && attribute("=34").is_err());
    }

    #[test]
    fn a_refusal_is_said_once_and_a_silent_port_is_named() {
        let endpoint: Address = "http://127.0.0.1:50051".parse().expect("an address");
        let refused = failure(&endpoint, &Status::not_found("no such item"));
        assert_eq!(
            format!("{refused:#}"),
            "http://127.0.0.1:50051 refused: NOT_FOUND: no such item"
        );
        let gone = Status::from_error(Box::new(std::io::Error::other("connection refused")));
        assert!(failure(&endpoint, &gone).to_string().contains("--endpoint"), "{gone:?}");
    }
}
